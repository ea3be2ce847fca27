CREATE TABLE things (id bigint CONSTRAINT things_id_key UNIQUE, name text NOT NULL CONSTRAINT things_name_short CHECK (length(name) < 10))
