/* in_hand.c: see the header. A request costs two list operations; the atomic is written when the oldest changes, which on an idle server is twice for each
 * request and on a busy one about as often as one ends. */
#include "in_hand.h"

static void tell(struct in_hand *h)
{
    const struct list *first = list_first(&h->requests);
    int64_t us = first ? container_of(first, struct in_hand_link, link)->received_us : INT64_MAX;
    atomic_store_explicit(&h->oldest_us, us, memory_order_release);
}

void in_hand_init(struct in_hand *h)
{
    list_init(&h->requests);
    atomic_init(&h->oldest_us, INT64_MAX);
}

void in_hand_take(struct in_hand *h, struct in_hand_link *request, int64_t received_us)
{
    request->received_us = received_us;
    list_push_back(&h->requests, &request->link);
    for (struct list *it = request->link.prev; it != &h->requests;
         it = it->prev) { /* a clock that was set back: those before it are no younger */
        struct in_hand_link *before = container_of(it, struct in_hand_link, link);
        if (before->received_us <= received_us)
            break;
        before->received_us = received_us;
    }
    tell(h);
}

void in_hand_let_go(struct in_hand *h, struct in_hand_link *request)
{
    if (!request->link.next)
        return;
    list_remove(&request->link);
    tell(h);
}

int64_t in_hand_oldest_us(const struct in_hand *h)
{
    return atomic_load_explicit(&h->oldest_us, memory_order_acquire);
}
