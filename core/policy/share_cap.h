/* share_cap - nodes that draw more than their share by what they say of themselves get nothing until that is made up for.
 *
 * What counts are this dispatcher's own picks. A node's share is what the slots of nodes with the same services are usually given; of one
 * that is alone with its services, the slots of all. How many slots it has only the node says. So it is believed to have as many as are
 * typical, near the median of what all say; to have more only as far as its clients' jobs show it: when of all that end well, by what
 * clients say (feedback.h), as large a part is done there, and quickly, as so many slots would do. A node that gets more than it can
 * do makes its jobs slow, so what it claims falls back to what it has.
 * Thread: control. Memory: the caller's; all zeroes is a new cap, or track. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define SHARE_KINDS 1024u
#define SHARE_MAX 2.5

/* What nodes of one kind have been given, as far as reports have come to say so. */
struct share_kind {
    double picks;
    double slot_s; /* slots that are believed, times seconds in which they were */
    double done; /* jobs that clients say have ended well */
    float slots; /* that are typical of a node; 0: none has reported */
    uint8_t latency_code; /* near the median of what clients say, as finish_time_code has it; 0: nothing heard */
};

struct share_cap {
    double max; /* no node gets more than so many times its share; 0: any */
    struct share_kind all;
    struct share_kind kinds[SHARE_KINDS]; /* by hash */
};

/* What a kind had. */
struct share_mark {
    double picks;
    double slot_s;
    double done;
};

/* Of one node. */
struct share_track {
    uint64_t held_ns; /* until then the node gets nothing: it has had more than its share */
    uint64_t seen_ns; /* up to when its slots are in its kind's; 0: never */
    uint64_t share_ns; /* when the span began that is looked at */
    uint64_t told_ns; /* when what it took moved the kind's latency last */
    uint64_t marked_ns; /* when the marks were taken: before that, while it is held */
    struct share_mark kind_mark;
    struct share_mark all_mark;
    uint32_t seen; /* picks that are in its kind's */
    uint32_t picks_mark;
    uint32_t done; /* of its kind's since the marks those that were done here, and quickly */
    uint32_t done_of_all; /* likewise, quickly for one of all */
    uint32_t kind; /* index of its kind */
    double slot_s; /* of slots that are believed without proof, since the marks; as in its kind's */
    double slot_s_of_all; /* likewise, as in those of all */
    float usual; /* picks for each second of a slot that nodes like it had, when that was last looked at */
    float proven_slots; /* as many as its clients' jobs have shown when that was last looked at */
};

/* A node reports, or is reported: it has been picked so often (wraps), claims so many slots (≥ 1), and is of this kind (any number that
 * is the same for nodes that offer the same services). */
void share_cap_report(struct share_cap *cap, struct share_track *track, uint32_t picks, uint32_t slots, uint64_t kind,
                      uint64_t now_ns);

/* A client says that a job has ended well at the node, after so long. */
void share_cap_done(struct share_cap *cap, struct share_track *track, float latency_s, uint64_t now_ns);
