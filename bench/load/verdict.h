/* verdict - whether a run says something about the server, or only about the generator.
 * Thread: any. Pure. Nothing here blocks or allocates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* More late sends than this share of all, and the schedule was not kept. */
#define VERDICT_LATE_SHARE_MAX 0.01

/* Busy for this share of the time is busy all the time. */
#define VERDICT_CPU_FULL 0.95

#define VERDICT_CPU_UNKNOWN (-1.0)

struct verdict_evidence {
    bool open_loop;
    bool disconnected; /* no connection was left before the end */
    uint64_t sent;
    uint64_t late; /* of these */
    uint64_t unsent; /* planned and never sent */
    double client_busy; /* share of the time */
    double server_thread_cpu; /* of the server's busiest thread; VERDICT_CPU_UNKNOWN */
};

enum verdict {
    VERDICT_VALID,
    VERDICT_NOTHING_SENT,
    VERDICT_DISCONNECTED,
    VERDICT_FELL_BEHIND,
    VERDICT_BOTTLENECK,
    VERDICT_BOTTLENECK_PERHAPS, /* the server's CPU is not known */
};

enum verdict verdict_of(const struct verdict_evidence *evidence);

/* One sentence without a full stop. Never NULL. */
const char *verdict_text(enum verdict verdict);
