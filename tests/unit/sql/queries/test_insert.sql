INSERT INTO things (id, name) VALUES ($1, $2) RETURNING id
