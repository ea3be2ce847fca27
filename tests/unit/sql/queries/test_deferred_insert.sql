-- Answers with two rows; that they are equal is found out by the commit.
INSERT INTO late VALUES (1), (1) RETURNING id
