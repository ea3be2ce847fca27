SELECT count(*), coalesce(sum(size), 0)::bigint FROM retention_attachments_due($1::timestamptz, $2::int)
