/* ask - the attempts of one question to dispatchers: whom to ask, and whether to ask again (requirements C1, C2, C5).
 *
 * Pure steps: the shell (client/inquiry.h) sends to `choice.address` when a step says ASK_SEND, and reports what came of it.
 * At most ASK_ATTEMPTS_PER_SIDE attempts go to the own region and as many to others. Attempts that cost the service something go
 * through the retry budget.
 * Thread: one. Memory: none of its own; dispatchers, budget and random belong to the client and are handed in. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/budget.h"
#include "client/dispatchers.h"

#define ASK_ATTEMPTS_PER_SIDE 3
#define ASK_ATTEMPTS_MAX (2 * ASK_ATTEMPTS_PER_SIDE)

enum ask_step {
    ASK_SEND, /* to ask->choice.address */
    ASK_DONE, /* ask->error says how it ended */
};

/* What the steps work with; the same for all asks of a client. */
struct ask_world {
    struct dispatchers *dispatchers;
    struct budget *budget;
    struct random_state *random;
};

struct ask {
    struct dispatchers_tried tried[ASK_ATTEMPTS_MAX];
    uint32_t attempts;
    uint32_t own_attempts;
    uint32_t repeats; /* attempts that count against the budget */
    struct dispatchers_choice choice; /* the attempt under way, or the last one */
    int error; /* the most telling one so far; 0 once answered */
    struct address error_from;
};

/* Begins a question. */
enum ask_step ask_start(struct ask *ask, const struct ask_world *world, uint64_t now_ns);

/* No reply within the reply timeout (-ETIMEDOUT), refused (-ECONNREFUSED), or nonsense (USHER_EPROTOCOL, …). */
enum ask_step ask_on_failure(struct ask *ask, const struct ask_world *world, int error, uint64_t now_ns);

/* It answered with an ERROR; `error` is our code for it. */
enum ask_step ask_on_error(struct ask *ask, const struct ask_world *world, int error, uint64_t now_ns);

/* It answered what was asked; region: its own, or 0. Always ASK_DONE. */
enum ask_step ask_on_answer(struct ask *ask, const struct ask_world *world, uint16_t region, uint64_t now_ns);
