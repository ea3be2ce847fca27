-- The first administrator. $1 e-mail, $2 password hash. No row: there are users already.
SELECT id FROM user_first($1::text, $2::text) AS made(id)
