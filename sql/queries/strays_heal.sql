-- Events in the default partition, if they are few, into partitions of their days: how many days and events; is there more to do?
SELECT days, events, again FROM strays_heal()
