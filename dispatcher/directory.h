/* directory - the dispatcher's copy of the nodes and their states: takes in what rm sends and publishes what the cores read (D9).
 *
 * Invariants: never empty once filled; an older (epoch, sequence) of the same rm never replaces a newer one; a frame is taken in
 * whole or not at all; a full list replaces everything once its last part has come.
 * Thread: control, except for the view, which the cores read through the publication.
 * Memory: owns members, views and region table. Nothing blocks, and nothing takes longer than DIRECTORY_SLICE_NS or one frame: the next
 * snapshot is made in slices, of which directory_take does the first and directory_step the others, when directory_due_ns says so. What
 * changes meanwhile goes into the one after it; building takes no more than 2 % of the time, so many changes share a snapshot. For the
 * weighted policy as much again may go into shares of weights that have moved, which are older than 100 ms only where 2 % ask for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/region_table.h"
#include "core/wire/directory.h"
#include "dispatcher/members.h"
#include "dispatcher/publication.h"
#include "dispatcher/view.h"

/* Of work on the next snapshot at a time, and then the core it shares a CPU with is let in. */
#define DIRECTORY_SLICE_NS UINT64_C(100000)

struct directory {
    struct publication publication;
    struct members members;
    struct view *view;
    struct view *next; /* NULL, or room for the one that is being built */
    int64_t build_work; /* spent on it so far */
    uint64_t build_after_ns; /* the next one is not begun earlier */
    uint64_t weigh_after_ns; /* nor one for the weights alone */
    struct region_table *table; /* NULL until rm sends one */
    uint32_t table_version; /* what rm calls it; 0: none */
    uint16_t own_region;
    struct wire_version version; /* zeros: nothing yet */
    bool list_open; /* parts of a full list are missing */
    bool mixed; /* parts of a list have come, and not all */
    struct wire_version list_version;
    uint32_t list_nodes; /* so far */
    uint64_t updated_ns; /* when rm last said something; 0: never */
    uint64_t publications; /* snapshots that have become current */
    bool location_changed; /* it differs from the one in the view */
};

/* core_count readers. -ENOMEM. */
NODISCARD int directory_new(uint16_t own_region, uint32_t core_count, struct directory **ret_directory);

/* No core may be inside. NULL is a no-op. */
void directory_free(struct directory *directory);

/* Whether snapshots are to have shares, for the weighted policy. Weights are kept in any case. */
void directory_set_weighted(struct directory *directory, bool weighted);

/* Takes in a DIRECTORY, DELTA or REGION_TABLE that came at now_ns and publishes what changed. 0; -ESTALE: older than what we have, or
 * an empty list where we have nodes, ignored; -ENODATA: a delta that does not fit what we have, or a part without its beginning: ask
 * for the full list; -ENOMEM, -ENOSPC: the same, after a while; USHER_EPROTOCOL with ret_refusal. */
NODISCARD int directory_take(struct directory *directory, const struct frame *frame, uint64_t now_ns, enum refusal *ret_refusal);

/* Does another slice of what is to be published. -ENOMEM: to be tried again when it is due. */
int directory_step(struct directory *directory, uint64_t now_ns);

/* When directory_step has something to do; 0: nothing, until a frame comes. */
uint64_t directory_due_ns(const struct directory *directory, uint64_t now_ns);

/* True once a full list has come. */
bool directory_is_filled(const struct directory *directory);

/* Parts of a list have come that was never finished: what is there is a mixture, to be replaced by the next full list. */
bool directory_is_restored(const struct directory *directory); /* from the file of the last run: rm has not spoken since */
bool directory_is_mixed(const struct directory *directory);

/* Whether a version of the same rm is older. */
bool directory_version_is_older(const struct wire_version *version, const struct wire_version *than);
