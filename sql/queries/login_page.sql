-- Sessions of user $1 that are alive, the newest first: before $2, at most $3. $4 idle time in microseconds, $5 the session that asks.
SELECT id, user_id, created_at, last_seen_at, expires_at, host(address), user_agent, hash = $5::bytea
  FROM sessions
 WHERE user_id = $1::int AND expires_at > now() AND last_seen_at > now() - $4::bigint * interval '1 microsecond' AND id < $2::bigint
 ORDER BY id DESC LIMIT $3::bigint
