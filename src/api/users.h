/* users.h: what users and their invitations share. Private to src/api. */
#pragma once

#include "internal.h"

/* "role" of a body: p == NULL: absent or null. False: answered. */
MUST_CHECK bool user_role_read(struct http_call *call, struct str *ret);
/* Answers what a statement says against it (user_change() of migration 0036, invitation_add, password_reset_add). */
void user_refuse(struct http_call *call, struct str why);

/* A request that makes a link: its token is shown in the answer, once. */
struct link_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    char token[SESSION_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
};
struct link_op *link_op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done);
void link_put(struct json_writer *w, struct link_op *op, const char *page); /* "token", "url" */
