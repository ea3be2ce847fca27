-- Dead letters keep the key that they came by, for the account of a retry, and leave a trace when they are dropped.
--
-- A file may lie beside a letter's row, left by a cut: in this server's directory, or in another's on the same database. Were the row deleted, the
-- file would stand up as a letter again. So a row that is dropped stays a while, without what it held, as one that is stored: each server deletes
-- the files of such records in its own directory (src/digest/letters.c). The release before sees a letter that was stored.
ALTER TABLE dead_letters
    ADD COLUMN key_id     bigint,               -- null: not known, or of a release that did not write it
    ADD COLUMN dropped_at timestamptz;          -- of status stored: nobody wants to see it
