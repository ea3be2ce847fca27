/* scope.h: what users and API tokens may do. A user's role gives scopes; a token has those of its list that its user's role gives, too. In which projects is
 * another question, which the database answers (http/permit.c). Pure. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/str.h"

/* clang-format off */
#define SCOPE_MAP(X) \
    X(PROJECT_READ,  "project:read")  /* projects, their keys, figures and monitors */ \
    X(PROJECT_WRITE, "project:write") /* make and change them */ \
    X(PROJECT_ADMIN, "project:admin") /* take away for good: projects, persons, attachments; say who sees a project */ \
    X(EVENT_READ,    "event:read")    /* issues, events, feedback, attachments */ \
    X(EVENT_WRITE,   "event:write")   /* resolve, mute and delete issues */ \
    X(ALERT_READ,    "alert:read")    /* rules and channels */ \
    X(ALERT_WRITE,   "alert:write") \
    X(ADMIN,         "admin")         /* of the installation: users, everybody's tokens, dead letters, settings */ \
    X(ORG_CI,        "org:ci")        /* uploads of a build; no route takes it yet */
/* clang-format on */

enum scope {
#define X(name, text) SCOPE_##name,
    SCOPE_MAP(X)
#undef X
        SCOPES
};

static inline uint32_t scope_bit(enum scope s)
{
    return UINT32_C(1) << s;
}
const char *scope_name(enum scope s);
/* The bits that a word stands for: "event:read" one, "event:*" all that begin so. 0: it is none. */
uint32_t scope_parse(struct str word);
/* Appends the names of the bits, `separator` between them. */
void scopes_format(uint32_t scopes, const char *separator, struct buf *out);
/* What PostgreSQL writes of a text[] of names, "{event:read,admin}", as bits; names that this release does not know give nothing. */
uint32_t scopes_of_array(struct str array);

/* Whether routes below no project that need this scope are open to who is kept to some projects, by a token's list or as a user. What is not named is not:
 * lists that show what one sees (http_bind_reach()) are; users may make projects, which they then see, and look at channels, but not change where others'
 * alerts go. */
enum scope_kept { SCOPE_KEPT_TOKEN, SCOPE_KEPT_USER };
bool scope_is_open(enum scope s, enum scope_kept who);

enum role { ROLE_VIEWER, ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER, ROLES }; /* each may what the one before may */
const char *role_name(enum role r);
bool role_parse(struct str name, enum role *ret);
uint32_t role_scopes(enum role r);
