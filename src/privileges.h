/* privileges.h: started as root, Picket gives its directories to user postgres and becomes that user (decisions.md "started as root"): the
 * private cluster runs as it, and whatever reads the network should not be root. */
#pragma once

#include "picket/base/macros.h"

/* Asked before privileges are dropped, for messages: afterwards nobody can tell. */
enum privileges_start { STARTED_AS_USER, STARTED_AS_ROOT };
enum privileges_start privileges_started(void);
/* Makes `dir` (with parents, mode 0700) if it is missing. As root: gives it to user postgres, unless that user does not exist or the directory holds
 * files and is not that user's already, which is an error. Else: sees to it that it can be written. On failure errno's negative, and *ret_why
 * says what to do. */
MUST_CHECK int privileges_prepare_dir(const char *dir, enum privileges_start started, const char **ret_why);
enum privileges_cores { CORES_NEVER, CORES_ALLOWED };
/* As root: becomes user postgres if there is one, else stays root and says so in the log. Always: nobody gains privileges again, not by way of a
 * set-user-id program either; new files are this user's alone; and memory, which holds other people's secrets, goes into no core and is closed to
 * other processes of the user, unless cores are allowed. Calling it again changes nothing. */
MUST_CHECK int privileges_drop(enum privileges_cores cores, const char **ret_why);
