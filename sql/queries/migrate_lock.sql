-- One migration runner at a time, on any number of machines: 'picket' as a number. Did we get it, and if not, which process has it? It is not waited for
-- here: a statement that waits has a snapshot, which an index that somebody builds concurrently would wait for in turn.
SELECT pg_try_advisory_lock(123621438911860) AS mine,
       (SELECT min(l.pid) FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
           AND (l.classid::bigint << 32) + l.objid::bigint = 123621438911860) AS held_by
