-- Events in the default partition, if they are few, into partitions of their days: how many days and events; is there more to do, there or with the texts of new
-- issues, which are taken over here, too?
SELECT s.days, s.events, s.again OR t.again FROM strays_heal() s CROSS JOIN issue_texts_fill(3000) t(again)
