-- Requests ($1) for which every batch up to $2 was looked at.
UPDATE erasures SET horizon = greatest(horizon, $2::bigint) WHERE id = ANY ($1::bigint[])
