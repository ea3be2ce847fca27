-- What issue $2 of project $1 is counted by: users, first and last release; keys of tags with their events and how many values they have, and of each the ten values
-- that most events have. Value '': those beyond the bound. No row: no such issue; a row without a key: no tags.
SELECT coalesce(f.users, 0), r.value, l.value, t.key, t.key_events, t.key_values, t.value, t.events, t.first_seen, t.last_seen
  FROM (SELECT i.project_id, i.id FROM issues i JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1::int AND i.id = $2::uuid) i
  LEFT JOIN issue_facts f ON f.project_id = i.project_id AND f.issue_id = i.id
  LEFT JOIN tags r ON r.project_id = f.project_id AND r.id = f.first_release
  LEFT JOIN tags l ON l.project_id = f.project_id AND l.id = f.last_release
  LEFT JOIN LATERAL (
    SELECT k.key, k.value, c.events, c.first_seen, c.last_seen, (sum(c.events) OVER w)::bigint AS key_events,
           count(*) FILTER (WHERE k.value <> '') OVER w AS key_values, row_number() OVER (PARTITION BY k.key ORDER BY c.events DESC, k.value) AS place
      FROM issue_tags c JOIN tags k ON k.project_id = c.project_id AND k.id = c.tag_id
     WHERE c.project_id = i.project_id AND c.issue_id = i.id
    WINDOW w AS (PARTITION BY k.key)) t ON t.place <= 10
 ORDER BY t.key_events DESC, t.key, t.place
