-- What the digest's statement inserts into events, and nothing else of it: no groups, no counters, no look for copies. $1: what the batch is called.
INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release,
                    environment, server_name, sdk_name, sdk_version, remote_addr, payload)
SELECT r.project_id, r.id, r.event_id, r.grouping_id, $1::bigint, r.received_at, r.timestamp, r.title, r.level, r.platform, r.release,
       r.environment, r.server_name, r.sdk_name, r.sdk_version, r.addr, r.payload
  FROM unnest($2::int[], $3::uuid[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[],
              $12::text[], $13::text[], $14::text[], $15::text[], $16::inet[], $17::bytea[])
       r(project_id, id, event_id, grouping_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name,
         sdk_version, addr, payload)
    ON CONFLICT DO NOTHING
