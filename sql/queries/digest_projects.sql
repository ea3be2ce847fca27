-- What the digest must know of the projects $1 of a batch: what they want taken out (event/scrub.h; null: what everybody gets), and the dictionary for their payloads:
-- number, checksum and content. $2: the checksum of the one at hand, whose content is not sent again; 0: none; -1: no content, in any case. Last: should samples be taken for a new
-- one? The first is compared after an hour, and from then on each time twice as old, at most a month later.
SELECT p.id, nullif(p.scrubbing, '{}'), d.number, d.checksum, CASE WHEN a.known NOT IN (-1, d.checksum) THEN d.content END,
       coalesce(d.checked_at + greatest('1 hour', least('30 days', d.checked_at - (SELECT min(f.created_at) FROM payload_dictionaries f WHERE f.project_id = p.id))) < now()
                AND d.number < 255, d.number IS NULL)
  FROM unnest($1::int[], $2::bigint[]) a(id, known)
  JOIN all_projects p ON p.id = a.id
  LEFT JOIN LATERAL (SELECT d.* FROM payload_dictionaries d WHERE d.project_id = p.id ORDER BY d.number DESC LIMIT 1) d ON true
 ORDER BY p.id
