-- Releases or environments ($2: the key) of project $1 by $3 (last_seen, first_seen, events, new_issues), the greatest first or, with $4, last: at most $5 behind the
-- first $6, with the number of all, and the sessions of a release; also those that sessions alone named, whose times are hours. Value '': those beyond the bound. No row: no
-- such project; a row of nulls but for the number: none there.
WITH of_events AS (
    SELECT t.value, c.events, c.first_seen, c.last_seen, c.new_issues
      FROM tag_keys k
      JOIN project_tags c ON c.project_id = k.project_id AND c.key_id = k.id
      JOIN tags t ON t.project_id = c.project_id AND t.id = c.tag_id
     WHERE k.project_id = $1::int AND k.key = $2::text),
of_sessions AS (
    SELECT s.release, s.first_seen, s.last_seen FROM session_releases s WHERE s.project_id = $1 AND $2 = 'release' AND s.release <> ''),
found AS MATERIALIZED (
    SELECT coalesce(e.value, s.release) AS value, coalesce(e.events, 0) AS events,
           CASE WHEN e.first_seen < s.first_seen + interval '1 hour' THEN e.first_seen ELSE coalesce(s.first_seen, e.first_seen) END AS first_seen,
           greatest(e.last_seen, s.last_seen) AS last_seen, coalesce(e.new_issues, 0) AS new_issues
      FROM of_events e FULL JOIN of_sessions s ON s.release = e.value),
placed AS (
    SELECT f.*, row_number() OVER (ORDER BY CASE $3::text WHEN 'last_seen' THEN f.last_seen WHEN 'first_seen' THEN f.first_seen END,
                                            CASE $3 WHEN 'events' THEN f.events WHEN 'new_issues' THEN f.new_issues END, f.value) AS place,
           count(*) OVER () AS total
      FROM found f),
page AS (
    SELECT p.*, CASE WHEN $4::boolean THEN p.place ELSE p.total + 1 - p.place END AS line FROM placed p)
SELECT n.total, l.value, l.events, l.first_seen, l.last_seen, l.new_issues, s.sessions, s.crashed
  FROM projects p
 CROSS JOIN (SELECT count(*) AS total FROM found) n
  LEFT JOIN page l ON l.line > $6::bigint AND l.line <= $6 + $5::bigint
  LEFT JOIN LATERAL (SELECT sum(h.total)::bigint AS sessions, sum(h.crashed)::bigint AS crashed
                       FROM release_hours h WHERE h.project_id = p.id AND h.release = l.value AND $2 = 'release') s ON true
 WHERE p.id = $1
 ORDER BY l.line
