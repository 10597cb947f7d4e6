/* tally - what became of the requests of a run: the accounting, and the latencies.
 *
 * Only requests planned within the measured part of the run count; those of the warm-up are sent and forgotten. A latency runs from
 * the planned time, not from the sending, so that a server that stands still is charged for everybody who would have come
 * meanwhile. A lost request counts in the latencies as one that took the whole timeout; so does one whose answer comes later than that.
 * Whatever of the sent does not end in a sound answer is a loss and has a cause: that no reply came in time, what became of the
 * connection it was on, or the error that was the reply.
 * Invariant: once all requests have ended, sent = received + lost, latency_ns.total = answered + lost, and the losses by cause are
 * together sent - answered.
 * Thread: one owner. Pure: the time is handed in. Memory: in place. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/histogram.h"

/* More kinds than there are: the protocol's errors and those of a socket. */
#define TALLY_ERRORS_MAX 32

/* No reply came in time. */
#define TALLY_TIMEOUT "timeout"

/* Whoever gave the second Ctrl-C did not want to wait for it. */
#define TALLY_INTERRUPTED "interrupted"

/* Causes for which there was no room any more, so that the sum is right all the same. */
#define TALLY_OTHER "other"

/* A send later than this after its planned time is the generator's fault, where what is measured takes less than ten times as long. */
#define TALLY_LATE_NS UINT64_C(1000000)

struct tally_error {
    const char *name; /* of error_name: static */
    uint64_t count;
};

struct tally {
    uint64_t measure_from_ns; /* planned times from here on count */
    uint64_t timeout_ns;
    uint64_t late_from_ns; /* later than this is late */
    uint64_t sent;
    uint64_t received; /* replies of any kind */
    uint64_t answered; /* of these, the sound ADDRESSes */
    uint64_t lost;
    uint64_t late; /* of the sent ones, those that left late_from_ns or more after their time */
    uint64_t late_max_ns;
    uint64_t answered_last_ns; /* when the last of the answered was; 0: none */
    uint64_t unexpected; /* replies that nobody waited for: twice, or after the timeout; of the whole run */
    uint64_t errors;
    uint32_t error_kinds;
    struct tally_error error[TALLY_ERRORS_MAX];
    uint32_t loss_kinds;
    struct tally_error loss[TALLY_ERRORS_MAX]; /* by cause: TALLY_TIMEOUT, or the name of an error */
    struct histogram latency_ns;
};

/* late_from_ns is TALLY_LATE_NS. */
void tally_init(struct tally *tally, uint64_t measure_from_ns, uint64_t timeout_ns);

static inline bool tally_measures(const struct tally *tally, uint64_t planned_ns)
{
    return planned_ns >= tally->measure_from_ns;
}

/* `count` requests of one planned time. */
void tally_sent(struct tally *tally, uint64_t planned_ns, uint64_t now_ns, uint64_t count);
void tally_answered(struct tally *tally, uint64_t planned_ns, uint64_t now_ns, uint64_t count);

/* A reply that is no address: counts as received, and as an error, but has no place in the latencies. */
void tally_refused(struct tally *tally, uint64_t planned_ns, const char *error_name);

/* No reply came. cause: TALLY_TIMEOUT, or the name of the error that its connection met while it waited. */
void tally_lost(struct tally *tally, uint64_t planned_ns, const char *cause);

/* Its connection failed, so that no reply can come: lost, and an error too. */
void tally_broken(struct tally *tally, uint64_t planned_ns, const char *error_name);

/* An error that belongs to no request, of the warm-up too. */
void tally_error(struct tally *tally, const char *error_name);

/* sent - answered, once all requests have ended. */
uint64_t tally_losses(const struct tally *tally);

/* How many of them have that cause. */
uint64_t tally_losses_to(const struct tally *tally, const char *cause);

/* The most frequent cause; NULL: nothing was lost. */
const char *tally_loss_chief(const struct tally *tally);

/* Adds what another thread of the same run has counted. */
void tally_merge(struct tally *tally, const struct tally *other);
