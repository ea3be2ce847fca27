-- Requests ($1) for which every batch up to $2 was looked at, a horizon that was taken at $3. For those of $4 every server had stored before that what
-- it took before the request.
UPDATE erasures SET horizon = greatest(horizon, $2::bigint), scanned_at = $3::timestamptz, heard = heard OR id = ANY ($4::bigint[]) WHERE id = ANY ($1::bigint[])
