-- User $2 gets role $3, is active $4, sees all projects $5; null: as it was. $6: goes. One row: why not, then as user_page.
SELECT c.refusal, (c.shown).id, (c.shown).email, (c.shown).role, (c.shown).is_active, (c.shown).all_projects, (c.shown).project_ids, (c.shown).created_at,
       (c.shown).last_login_at
  FROM user_change($1::text::jsonb, $2::int, $3::text, $4::boolean, $5::boolean, $6::boolean) c
