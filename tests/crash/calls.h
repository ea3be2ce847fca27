/* calls.h: records the system calls of those who write durable files without src/spool/disk.h. The program is linked with --wrap for each of
 * them (meson.build). */
#pragma once

#include "recording.h"

/* From here on, and until calls_stop(), what this process does below the directory `root` (borrowed), at most two levels deep, is added.
 * One thread. */
void calls_record(struct recording *rec, const char *root);
void calls_stop(void);
