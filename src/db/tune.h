/* tune.h: how large the private PostgreSQL may make itself on this machine. Part of db alone. */
#pragma once

#include <stdint.h>

struct db_tuning {
    uint64_t shared_buffers_mb, max_wal_size_mb;
};

/* For a machine, or a control group, with so much memory, and a disk of that size; 0: not known. */
struct db_tuning db_tuning_of(uint64_t memory_bytes, uint64_t disk_bytes);

/* For this machine, and the disk that `dir` is on. Reads small files of /proc and /sys, never fails. */
struct db_tuning db_tune(const char *dir);
