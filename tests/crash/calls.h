/* calls.h: records the system calls of those who write durable files without src/spool/disk.h. The program is linked with --wrap for each of
 * them (meson.build). */
#pragma once

#include "recording.h"

/* From here on, and until calls_stop(), what this process does below the directory `root` (borrowed) is added. What is more than one level below it
 * must be reached through a descriptor. One thread. */
void calls_record(struct recording *rec, const char *root);
void calls_stop(void);
/* While something is recorded: it is that late, for files that are made, written or touched, and their times are recorded, too. */
void calls_set_time(int64_t now_us);
