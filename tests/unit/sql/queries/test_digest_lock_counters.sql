-- Where a batch comes last: it waits here with everything done and nothing committed.
LOCK TABLE project_counters IN EXCLUSIVE MODE
