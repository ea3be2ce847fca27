-- How the server is reached from outside, for commands in other terminals. $1 PUBLIC_URL. Of several servers the one that started last has its way.
INSERT INTO schema_info AS i (key, value) VALUES ('public_url', $1::text)
    ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value WHERE i.value <> EXCLUDED.value
