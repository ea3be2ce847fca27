-- Attachments of events that were dropped: how many such events were looked at, rows and bytes that went.
SELECT looked, rows, bytes FROM retention_attachments_left($1::timestamptz, $2::int)
