-- Which pages may send, of each project that says so.
SELECT p.id::bigint, o.pattern FROM projects p CROSS JOIN LATERAL jsonb_array_elements_text(p.allowed_origins) o(pattern) WHERE p.allowed_origins <> '[]' ORDER BY p.id
