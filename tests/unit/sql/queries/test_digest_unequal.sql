-- What does not fit together in the tables that the digest writes, in words; '' when everything counted equals the rows that it counts.
-- Events of projects that are gone are left out: they belong to nobody.
WITH e AS MATERIALIZED (
    SELECT e.project_id, e.id, e.event_id, e.received_at, date_trunc('hour', e.received_at, 'UTC') AS hour, g.issue_id,
           (e.received_at AT TIME ZONE 'UTC')::date AS day
      FROM events e JOIN projects p ON p.id = e.project_id
      LEFT JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id),
problems (what) AS (
    SELECT format('event %s has no issue', id) FROM e WHERE issue_id IS NULL
    UNION ALL
    SELECT format('event %s is there twice', a.event_id)
      FROM e a JOIN e b ON b.project_id = a.project_id AND b.event_id = a.event_id AND b.id > a.id AND b.day - a.day <= 1
    UNION ALL
    SELECT format('issue %s: %s events, %s to %s; rows: %s, %s to %s', i.id, i.event_count, i.first_seen, i.last_seen, count(e.id),
                  min(e.received_at), max(e.received_at))
      FROM issues i LEFT JOIN e ON e.project_id = i.project_id AND e.issue_id = i.id
     GROUP BY i.project_id, i.id
    HAVING (i.event_count, i.first_seen, i.last_seen) IS DISTINCT FROM (count(e.id), min(e.received_at), max(e.received_at))
    UNION ALL
    SELECT format('issue %s is new %s times', i.id, count(t.id))
      FROM issues i LEFT JOIN issue_transitions t ON t.project_id = i.project_id AND t.issue_id = i.id AND t.kind = 'new'
     GROUP BY i.project_id, i.id HAVING count(t.id) <> 1
    UNION ALL
    SELECT format('project %s: %s issues, the last has number %s of %s', n.project_id, count(i.id), max(i.number), n.last_issue)
      FROM project_numbering n LEFT JOIN issues i USING (project_id)
     GROUP BY n.project_id HAVING count(i.id) <> n.last_issue OR coalesce(max(i.number), 0) <> n.last_issue
    UNION ALL
    SELECT format('project %s: %s stored, %s digested, %s rows', project_id, c.stored, c.digested, r.n)
      FROM project_counters c FULL JOIN (SELECT project_id, count(*) AS n FROM e GROUP BY 1) r USING (project_id)
     WHERE (c.stored, c.digested) IS DISTINCT FROM (coalesce(r.n, 0), coalesce(r.n, 0))
    UNION ALL
    SELECT format('project %s at %s: %s events, %s rows', project_id, hour, h.events, r.n)
      FROM project_hours h FULL JOIN (SELECT project_id, hour, count(*) AS n FROM e GROUP BY 1, 2) r USING (project_id, hour)
     WHERE h.events IS DISTINCT FROM r.n
    UNION ALL
    SELECT format('project %s at %s: %s events accounted for, %s rows', project_id, hour, o.n, r.n)
      FROM (SELECT project_id, hour, sum(quantity) AS n FROM outcomes WHERE category = 1 AND outcome = 0 GROUP BY 1, 2) o
      FULL JOIN (SELECT project_id, hour, count(*) AS n FROM e GROUP BY 1, 2) r USING (project_id, hour)
     WHERE o.n IS DISTINCT FROM r.n AND EXISTS (SELECT FROM projects p WHERE p.id = project_id)
    UNION ALL
    SELECT format('issue %s at %s: %s events, %s rows', issue_id, hour, h.events, r.n)
      FROM issue_hours h
      FULL JOIN (SELECT project_id, issue_id, hour, count(*) AS n FROM e GROUP BY 1, 2, 3) r USING (project_id, issue_id, hour)
     WHERE h.events IS DISTINCT FROM r.n)
SELECT left(coalesce(string_agg(what, '; '), ''), 240) FROM problems
