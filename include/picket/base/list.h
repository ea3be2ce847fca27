/* list.h: intrusive doubly linked lists. The head is a struct list as well; a link that is on no list points to itself. */
#pragma once

#include <stdbool.h>

#include "picket/base/macros.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_remove(struct list *link) /* fine on a link that is on no list */
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}
static inline void list_push_back(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}
static inline void list_push_front(struct list *head, struct list *link)
{
    list_push_back(head->next, link);
}
static inline struct list *list_first(struct list *head) /* NULL when empty */
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a freed element was taken off the list, which the analyzer forgets */
    return head->next == head ? NULL : head->next;
}
static inline struct list *list_pop(struct list *head) /* removes and returns the first, NULL when empty */
{
    struct list *l = list_first(head);
    if (l)
        list_remove(l);
    return l;
}
/* Moves everything from `from` behind the last of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
/* NOLINTBEGIN(bugprone-macro-parentheses): `it` is declared here, so it stands bare */
#define LIST_EACH(head, it) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The body may remove `it` and nothing else. */
#define LIST_EACH_SAFE(head, it) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */
