-- Release health of project $1 since $2, of release $3 and environment $4 (null: all), with distinct users. Kind 0: by release and environment, the newest
-- first; kind 1: all of them by time ($5: hour or day). No row: no such project; one row of nulls: no sessions.
WITH h AS MATERIALIZED (
    SELECT * FROM release_hours
     WHERE project_id = $1::int AND hour >= $2::timestamptz AND ($3::text IS NULL OR release = $3::text)
       AND ($4::text IS NULL OR environment = $4::text) AND total + exited + errored > 0),
seen AS MATERIALIZED (
    SELECT release, environment, date_trunc($5::text, hour, 'UTC') AS at, user_hash, bool_or(crashed) AS crashed FROM release_users
     WHERE project_id = $1 AND hour >= $2 AND ($3 IS NULL OR release = $3) AND ($4 IS NULL OR environment = $4) AND n_sessions IS DISTINCT FROM 0
     GROUP BY 1, 2, 3, 4),
u AS (
    SELECT release, environment, count(*) AS users, count(*) FILTER (WHERE crashed) AS crashed_users
      FROM (SELECT release, environment, user_hash, bool_or(crashed) AS crashed FROM seen GROUP BY 1, 2, 3) d
     GROUP BY release, environment),
t AS (
    SELECT at, count(*) AS users, count(*) FILTER (WHERE crashed) AS crashed_users
      FROM (SELECT at, user_hash, bool_or(crashed) AS crashed FROM seen GROUP BY 1, 2) d
     GROUP BY at),
lines AS (
    SELECT 0 AS kind, NULL::timestamptz AS at, h.release, h.environment, max(h.hour) AS last, sum(total)::bigint AS total,
           sum(exited)::bigint AS exited, sum(errored)::bigint AS errored, sum(abnormal)::bigint AS abnormal, sum(unhandled)::bigint AS unhandled,
           sum(crashed)::bigint AS crashed, coalesce(max(u.users), 0) AS users, coalesce(max(u.crashed_users), 0) AS crashed_users
      FROM h LEFT JOIN u USING (release, environment) GROUP BY h.release, h.environment
     UNION ALL
    SELECT 1, h.at, NULL, NULL, NULL, sum(total)::bigint, sum(exited)::bigint, sum(errored)::bigint, sum(abnormal)::bigint,
           sum(unhandled)::bigint, sum(crashed)::bigint, coalesce(max(t.users), 0), coalesce(max(t.crashed_users), 0)
      FROM (SELECT *, date_trunc($5, hour, 'UTC') AS at FROM h) h LEFT JOIN t USING (at) GROUP BY h.at)
SELECT l.kind::bigint, l.at, l.release, l.environment, l.total, l.exited, l.errored, l.abnormal, l.unhandled, l.crashed, l.users, l.crashed_users
  FROM projects p LEFT JOIN lines l ON true
 WHERE p.id = $1
 ORDER BY l.kind, l.at, l.last DESC, l.release, l.environment
