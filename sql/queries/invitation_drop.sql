DELETE FROM user_links WHERE id = $1::int AND kind = 'invitation' AND expires_at > now()
RETURNING id, audit_note($2::text::jsonb, 'invitation.delete', NULL, id::text, jsonb_build_object('email', email, 'role', role))
