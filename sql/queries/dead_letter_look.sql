-- What is there: letters that are dead, marked, stored.
SELECT count(*) FILTER (WHERE status = 'dead'), count(*) FILTER (WHERE status = 'retry'), count(*) FILTER (WHERE status = 'stored')
  FROM dead_letters
