/* verdict - whether a run says something about the server, or only about the generator.
 * Thread: any. Pure. Nothing here blocks or allocates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* More late sends than this share of all, and the schedule was not kept. */
#define VERDICT_LATE_SHARE_MAX 0.01

/* Busy for this share of the time is busy all the time. */
#define VERDICT_CPU_FULL 0.95

/* A closed loop that heard nothing for the last part of its time, this long, was about a server that had gone. */
#define VERDICT_SILENT_MAX 0.1

#define VERDICT_CPU_UNKNOWN (-1.0)

struct verdict_evidence {
    bool open_loop;
    bool disconnected; /* no connection was left before the end */
    uint64_t sent;
    uint64_t answered; /* of these, soundly */
    uint64_t late; /* of these */
    uint64_t unsent; /* planned and never sent */
    uint64_t errors; /* of sockets too, which may have kept it from sending */
    double silent; /* share of the time, at its end, in which nothing was answered */
    double client_busy; /* share of the time */
    double server_thread_cpu; /* of the server's busiest thread; VERDICT_CPU_UNKNOWN */
};

enum verdict {
    VERDICT_VALID,
    VERDICT_NOTHING_SENT,
    VERDICT_DISCONNECTED,
    VERDICT_UNANSWERED,
    VERDICT_SILENT, /* closed loop: while nobody answers, nobody asks, and the latencies tell of better times */
    VERDICT_FELL_BEHIND,
    VERDICT_BOTTLENECK,
    VERDICT_BOTTLENECK_PERHAPS, /* the server's CPU is not known */
};

enum verdict verdict_of(const struct verdict_evidence *evidence);

/* For programs: "valid", "fell-behind" …; these never change. Never NULL. */
const char *verdict_code(enum verdict verdict);

/* One sentence without a full stop. Never NULL. */
const char *verdict_text(enum verdict verdict);

/* What to do about a run in which nothing was answered, by what most of its requests were lost to. One sentence without a full stop. Never
 * NULL. */
const char *verdict_advice(const char *cause);

/* The same where nothing was sent: what is known of why. */
const char *verdict_advice_unsent(bool errors, bool interrupted);
