/* player - lets the nodes of a swarm speak when it is their turn, whoever they speak to.
 *
 *     line_rm.c    datagrams to a resource manager, acknowledgements back
 *     line_zadd.c  two ZADDs for each heartbeat to a Redis, replies back: the base to compare with
 *
 * Turns come every millisecond, since that is how exactly a thread sleeps; a turn that is late says so, and nothing is left out.
 * Thread: one owner. Memory: the caller's, but for what a line opens. Blocks: sleeps between turns. */
#pragma once

#include <signal.h>

#include "bench/fleet/swarm.h"

#define PLAYER_BATCH 64u

struct player_line {
    int fd;
    uint8_t *room; /* of the line's own, for a batch */
    uint64_t unanswered; /* ZADDs */
    uint64_t errors; /* replies that are errors */
    uint64_t dropped_before; /* datagrams that the socket had no room for, before counting began */
    /* Sends what these nodes say now, ≤ PLAYER_BATCH. Negative errno: it broke. */
    int (*speak)(struct player_line *line, struct swarm *swarm, const uint32_t *indices, uint32_t count, uint64_t now_ns);
    /* Takes in what has come. */
    int (*hear)(struct player_line *line, struct swarm *swarm, uint64_t now_ns);
};

/* Negative errno of socket(2), connect(2), -ENOMEM. */
NODISCARD int line_rm_open(struct player_line *line, const struct address *rm);
NODISCARD int line_zadd_open(struct player_line *line, const char *path);
void line_close(struct player_line *line);

/* What came for us and was lost here, since the kernel had no room for it: then acknowledgements that are missing say nothing of rm. */
uint64_t line_dropped(const struct player_line *line);

struct player_config {
    uint64_t heartbeat_ns;
    double changes_per_s;
    uint64_t warmup_ns;
    uint64_t duration_ns;
    const volatile sig_atomic_t *stopped; /* ends it early */
};

struct player_result {
    uint64_t counted_ns; /* for how long */
    uint64_t planned; /* turns in that time */
    uint64_t taken;
    uint64_t late_max_ns; /* a turn after its time */
    uint64_t dropped;
};

/* Says "counting" on stderr when the warm-up is over. Negative errno: the line broke. */
NODISCARD int player_run(struct swarm *swarm, struct player_line *line, const struct player_config *config,
                         struct player_result *ret_result);
