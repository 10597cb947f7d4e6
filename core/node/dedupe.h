/* dedupe - which jobs this node has accepted lately, so that one that is sent twice runs once (reliability: job sent twice).
 *
 * Invariant: after dedupe_add a (client, job) is known for DEDUPE_NS, unless dedupe_forget was called, or DEDUPE_ENTRIES_MAX younger
 * ones came since: memory is bounded, the oldest go first.
 * Thread: one owner. Memory: 1.5 MiB in dedupe_init, and a map that grows with what is in it. Time comes as an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/map.h"

#define DEDUPE_ENTRIES_MAX 65536u
#define DEDUPE_NS (UINT64_C(600) * 1000000000)

struct dedupe_key {
    uint64_t client_id;
    uint64_t job_id;
};

struct dedupe_entry {
    struct dedupe_key key;
    uint64_t added_ns;
};

struct dedupe {
    struct map index; /* key → cell of `entries` */
    struct dedupe_entry *entries; /* ring, oldest first */
    uint32_t oldest;
    uint32_t count;
};

/* -ENOMEM. */
NODISCARD int dedupe_init(struct dedupe *dedupe);
void dedupe_done(struct dedupe *dedupe);

bool dedupe_knows(struct dedupe *dedupe, struct dedupe_key key, uint64_t now_ns);

/* The key must not be known. -ENOMEM. */
NODISCARD int dedupe_add(struct dedupe *dedupe, struct dedupe_key key, uint64_t now_ns);

/* The job was not started after all: it may come again. */
void dedupe_forget(struct dedupe *dedupe, struct dedupe_key key);
