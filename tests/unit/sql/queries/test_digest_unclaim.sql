-- As after a crash between the last statement of a batch and its claim: everything is delivered again.
UPDATE digest_batches SET to_offset = from_offset
