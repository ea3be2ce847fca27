-- What became of a project's feedback and of copies of its events, and how often a range was claimed.
SELECT format('%s stored, %s accounted for, %s copies, %s claims',
              (SELECT count(*) FROM feedback WHERE project_id = $1),
              (SELECT sum(quantity) FROM outcomes WHERE project_id = $1 AND category = 14 AND outcome = 0),
              (SELECT sum(quantity) FROM outcomes WHERE project_id = $1 AND reason = 'duplicate'),
              (SELECT count(*) FROM digest_batches WHERE to_offset > from_offset))
