SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass
