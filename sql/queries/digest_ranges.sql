-- Spool ranges of this node that are committed though the cursor may not have got past them.
SELECT segment, from_offset, to_offset FROM digest_batches
 WHERE node = $1 AND segment >= $2 AND to_offset > from_offset ORDER BY segment, from_offset
