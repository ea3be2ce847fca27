SELECT test_raise($1)
