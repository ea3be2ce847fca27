SELECT retention_quiet($1::timestamptz)
