/* title.h: what an event is called (contract §3.3). Private to the event layer. */
#pragma once

#include "view.h"

struct event_title {
    struct str type, value, title; /* in the arena or in the document, trimmed */
    struct str transaction;        /* trimmed; meaningful if has_transaction */
    bool has_transaction;          /* false: the key was absent or no string. An empty string counts as one. */
};

void event_title_read(const struct event_view *view, struct arena *a, struct event_title *ret);

/* Grouping version 1: the key that names the group, in the arena. */
struct str event_key_v1(const struct event_view *view, const struct event_title *title, struct arena *a);

/* The parts one after the other, in the arena. */
struct str event_concat(struct arena *a, const struct str *parts, size_t n);
