/* view - all that a core needs to answer: who is there, and where clients belong. Immutable; published as one pointer.
 * Thread: built on the control thread, read by every core between publication_enter and publication_leave. */
#pragma once

#include "core/policy/snapshot.h"
#include "dispatcher/location.h"
#include "dispatcher/members.h"
#include "dispatcher/publication.h"

struct view {
    struct retired retired; /* first */
    struct snapshot *snapshot;
    struct location *location;
    bool retires_snapshot; /* no later view uses it: it goes with this one */
    bool retires_location;
    struct members *members; /* whose slots and lists these are, or NULL */
    struct members_gone gone; /* with retires_snapshot: what no later snapshot uses */
    struct region_table *retired_table; /* NULL, or the table that later locations do not use */
};

/* Takes snapshot and location. -ENOMEM. */
NODISCARD int view_new(struct snapshot *snapshot, struct location *location, struct view **ret_view);
void view_free(struct view *view); /* with the parts that it retires */

/* For publication_retire. */
void view_release(struct retired *retired);
