-- What is there: letters that are dead, marked, stored; and of those that are dead, how many may be spilled (dead_letter_oldest).
SELECT count(*) FILTER (WHERE status = 'dead'), count(*) FILTER (WHERE status = 'retry'), count(*) FILTER (WHERE status = 'stored'),
       count(*) FILTER (WHERE status = 'dead' AND kind <> 7)
  FROM dead_letters
