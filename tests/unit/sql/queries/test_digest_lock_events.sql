-- Behind the look-up of groups, before anything is written.
LOCK TABLE events IN ACCESS EXCLUSIVE MODE
