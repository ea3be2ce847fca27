-- Dictionaries that a project's payloads are packed with (src/protocol/payload.c, src/digest/dictionaries.c). A frame names its dictionary by number, so
-- one is never changed, and goes with its project alone: rows may need it as long as that. There are few: 4 KB each, a new one only where it makes rows
-- smaller by a tenth. The last is used. An empty one says that none helps.
CREATE TABLE payload_dictionaries (
    project_id int NOT NULL REFERENCES projects ON DELETE CASCADE,
    number smallint NOT NULL CHECK (number BETWEEN 32 AND 255),
    checksum bigint NOT NULL CHECK (checksum > 0), -- of the content, by whoever made it: it tells whether a copy in memory is the one that is stored
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz NOT NULL DEFAULT now(), -- compared last with one made of what came then
    PRIMARY KEY (project_id, number));

-- The dictionary that a frame names (RFC 8878 §3.1.1.1); null: none, or not a project's. Bits 0 and 1 of the descriptor: 1 says that the number is one
-- byte. Bit 5: no byte of the window's size stands before it.
-- (One expression, so that it becomes part of the query; only the first bytes are fetched.)
CREATE FUNCTION payload_dictionary_number(payload bytea) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(payload) < 7 OR get_byte(substring(payload, 1, 8), 4) & 3 <> 1 THEN NULL
                ELSE nullif(greatest(get_byte(substring(payload, 1, 8), CASE WHEN get_byte(substring(payload, 1, 8), 4) & 32 = 32 THEN 5 ELSE 6 END), 31), 31) END::smallint
$$;

-- A server of an earlier release stores events but cannot read these.
UPDATE schema_info SET value = '31' WHERE key = 'min_release';
