/* list - a circular doubly linked list through members of its elements: O(1) insertion and removal without allocation.
 * Invariant: a link that is in no list points to itself. Thread: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *next;
    struct list_link *previous;
};

static inline void list_init(struct list_link *link)
{
    link->next = link;
    link->previous = link;
}

/* Of a head: the list is empty. Of an element: it is in no list. */
static inline bool list_is_empty(const struct list_link *link)
{
    return link->next == link;
}

static inline void list_remove(struct list_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* The element must be in no list. */
static inline void list_append(struct list_link *head, struct list_link *link)
{
    link->next = head;
    link->previous = head->previous;
    head->previous->next = link;
    head->previous = link;
}

/* The oldest, taken out; NULL when there is none. */
static inline struct list_link *list_take_first(struct list_link *head)
{
    struct list_link *first = head->next;
    if (first == head)
        return NULL;
    list_remove(first);
    return first;
}

/* Moves all elements of `from` to the empty list `to`, keeping their order: what is appended to `from` while the elements of
 * `to` are worked on waits for the next round. */
static inline void list_take_all(struct list_link *from, struct list_link *to)
{
    list_init(to);
    if (list_is_empty(from))
        return;
    to->next = from->next;
    to->previous = from->previous;
    to->next->previous = to;
    to->previous->next = to;
    list_init(from);
}
