-- Issue $2 of project $1 with what issue_items() tells, at $3. No row: there is none.
SELECT t.* FROM issue_items(ARRAY[$1::int], ARRAY[$2::uuid], $3::timestamptz) t
