-- Days whose events lie in the default partition: how many (or more), and whether they are retention's to move.
SELECT to_char(day, 'YYYY-MM-DD'), least(rows, 20000), rows > 20000, NOT small FROM strays_days() ORDER BY day
