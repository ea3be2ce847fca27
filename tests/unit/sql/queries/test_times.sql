SELECT 'infinity'::timestamptz, '-infinity'::timestamptz, '294276-12-31 UTC'::timestamptz, '4713-01-01 UTC BC'::timestamptz,
       '2024-02-29 12:34:56.789012+00'::timestamptz, NULL::timestamptz
