-- Payloads are packed with a dictionary that the server has (src/protocol/payload.c): a server of an earlier release stores events but cannot read these.
UPDATE schema_info SET value = '27' WHERE key = 'min_release';
