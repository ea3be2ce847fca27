SELECT count(*) FROM feedback
