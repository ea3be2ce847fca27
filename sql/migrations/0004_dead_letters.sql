-- Dead letters that can be looked at, tried again, and kept within bounds.
--
--   dead    could not be stored; waits for somebody
--   retry   somebody wants it tried again: whoever digests takes it (src/digest/retry.c)
--   stored  a retry stored it; the row stays a week without its payload, so that a second retry can say what became of the first
--
-- The release before knows none of these columns and writes letters that are dead; what it does not write, a retry does without.
ALTER TABLE dead_letters
    ADD COLUMN status      text NOT NULL DEFAULT 'dead' CONSTRAINT dead_letters_status CHECK (status IN ('dead', 'retry', 'stored')),
    ADD COLUMN kind        smallint NOT NULL DEFAULT 1,  -- of the spool record: 1 is an event
    ADD COLUMN sent_at     timestamptz,                  -- by the envelope's header
    ADD COLUMN remote_addr inet,
    ADD COLUMN position    bigint,                       -- byte of the payload where the parser stopped
    ADD COLUMN stored_at   timestamptz;                  -- of status stored
ALTER TABLE dead_letters ALTER payload SET STORAGE EXTERNAL; -- compressed already
CREATE INDEX dead_letters_by_status ON dead_letters (status, id);
COMMENT ON COLUMN dead_letters.detail IS 'the violated constraint, if it was one';
