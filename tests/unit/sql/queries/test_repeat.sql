SELECT repeat('x', $1::int)
