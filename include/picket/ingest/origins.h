/* origins.h: which pages each project takes something from (protocol/origin.h): the lists of all projects that have one, as the door knows them. Filled by
 * quota_watch. Any thread. */
#pragma once

#include "picket/base/str.h"

struct origins_line {
    uint64_t project_id;
    struct str pattern;
};

struct origins;
struct origins *origins_new(void);
void origins_free(struct origins *o); /* NULL is fine */
/* Replaces all lists by these, copied; lines of a project stand together, projects ascend. */
void origins_set(struct origins *o, const struct origins_line *lines, size_t n);
/* There is any list. Without one nothing need be asked. */
bool origins_are_on(const struct origins *o);
/* `origin` and `referer`: the request's headers. True: the project has no list, one of its patterns matches, or no page is named. */
bool origins_allow(struct origins *o, uint64_t project_id, struct str origin, struct str referer);
