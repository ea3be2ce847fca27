TRUNCATE all_projects, events, dead_letters, digest_batches CASCADE
