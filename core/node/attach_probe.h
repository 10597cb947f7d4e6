/* attach_probe - one thing that is asked of an attached server again and again: a TCP connect, or an HTTP GET.
 *
 * Invariant: one at a time, the next one an interval after the start of the last, or as soon as that has ended.
 * Thread: the loop's. Memory: in place; stop it before its memory goes. Nothing blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/io/timer.h"

struct http_client;
struct loop;
struct stream;

enum attach_problem_kind {
    ATTACH_NO_PROBLEM,
    ATTACH_NOT_CONNECTED, /* value: negative errno */
    ATTACH_NO_ANSWER, /* within the timeout */
    ATTACH_CUT_OFF,
    ATTACH_STATUS, /* value: the status */
    ATTACH_NOT_HTTP,
    ATTACH_TOO_LONG,
    ATTACH_NO_METRIC,
    ATTACH_NOT_A_NUMBER,
    ATTACH_UNABLE, /* this machine's trouble, not the server's. value: negative errno */
};

struct attach_problem {
    enum attach_problem_kind kind;
    int32_t value;
};

#define ATTACH_PROBLEM_BYTES 160

/* A sentence for operators; "" for none. Returns text. */
const char *attach_problem_text(const struct attach_problem *problem, char text[static ATTACH_PROBLEM_BYTES]);

struct attach_result {
    struct attach_problem problem;
    uint64_t took_ns;
    const char *page; /* where wants_page; valid during the call */
    size_t page_length;
};

struct attach_probe_config {
    struct loop *loop;
    struct address address;
    const char *path; /* "" : a TCP connect; stays valid */
    bool wants_page; /* the body of the answer, up to ATTACH_PAGE_BYTES_MAX */
    uint64_t interval_ns;
    uint64_t timeout_ns;
    void (*on_result)(void *ctx, const struct attach_result *result); /* must not stop the probe */
    void *ctx;
};

struct attach_probe {
    struct attach_probe_config config;
    struct timer timer; /* of the next one, or of the end of a connect */
    struct stream *stream; /* a connect under way */
    struct http_client *http; /* NULL: connects only */
    uint64_t started_ns;
};

/* The first one starts after delay_ns. -ENOMEM. */
NODISCARD int attach_probe_start(struct attach_probe *probe, const struct attach_probe_config *config, uint64_t delay_ns);

/* The next request goes out now, unless one is under way. */
void attach_probe_hurry(struct attach_probe *probe);

/* One that was never started and is all zeroes: no-op. */
void attach_probe_stop(struct attach_probe *probe);
