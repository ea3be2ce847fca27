/* password.h: Argon2id PHC strings (RFC 9106; m = 19456 KiB, t = 2, p = 1, contract §1.10). Takes tens of milliseconds and 19 MiB: a job
 * for a worker thread, never a loop. */
#pragma once

#include "picket/base/str.h"

enum { PASSWORD_HASH_MAX = 128, PASSWORD_MIN = 8, PASSWORD_MAX_BYTES = 1024 };
MUST_CHECK int password_hash(struct str password, char ret[PASSWORD_HASH_MAX]);
/* True when it matches. `phc` "" (no such user) still takes the time of a verification, so that existence does not show. */
bool password_verify(struct str password, const char *phc);
/* 20 characters from an alphabet without look-alikes, and a NUL. */
void password_random(char ret[21]);
