ALTER TABLE events ADD CONSTRAINT refuse_poison CHECK (title NOT LIKE 'Poison%')
