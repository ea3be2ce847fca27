/* password_work.h: Argon2id for a request, on a pool of its own. Private to src/api. */
#pragma once

#include "internal.h"
#include "picket/auth/password.h"

struct password_job;
/* A part of an operation in the request's pool. Passwords are in the call's arena, copies of our own: wiped by password_work_dispose(). */
struct password_work {
    struct http_call *call;
    struct str current; /* p == NULL: nothing is verified; else whether it matches `phc`, "": nobody's, which takes as long */
    struct str wanted;  /* p == NULL: nothing is hashed; nor if `current` does not match */
    void (*done)(struct password_work *w);
    bool matches;
    char phc[PASSWORD_HASH_MAX], hash[PASSWORD_HASH_MAX]; /* hash: of `wanted` */
    struct password_job *job;                             /* private */
};
/* done() on the worker's loop, unless it is answered (too many wait, or memory is short) or disposed of. */
void password_work_start(struct password_work *w);
void password_work_dispose(struct password_work *w); /* idempotent, also of one that was never started */

/* A member of a JSON body: there, and not too long; or fit to become one. False: answered. */
enum password_kind { PASSWORD_GIVEN, PASSWORD_NEW };
MUST_CHECK bool password_read(struct http_call *call, const char *name, enum password_kind kind, struct str *ret);
