/* in_hand.h: the requests that a worker of the server has taken and not yet handed on to the spool, or refused: digest/monitors.c accuses nobody
 * whose check-in may be among them. Private to ingest. Everything on the worker's thread but in_hand_oldest_us. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "picket/base/list.h"

struct in_hand {
    struct list requests;                       /* as they came */
    _Alignas(64) atomic_int_fast64_t oldest_us; /* of the first; INT64_MAX: none. Read by others, hence on a line of its own */
};
struct in_hand_link { /* the request's; zeroed before its first use */
    struct list link;
    int64_t received_us; /* wall clock */
};

void in_hand_init(struct in_hand *h);
void in_hand_take(struct in_hand *h, struct in_hand_link *request, int64_t received_us);
void in_hand_let_go(struct in_hand *h, struct in_hand_link *request); /* idempotent */
/* When the first of them came; INT64_MAX: there is none. Any thread. */
int64_t in_hand_oldest_us(const struct in_hand *h);
