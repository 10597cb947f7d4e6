#include "client/ask.h"

#include <errno.h>

#include "core/base/errors.h"

/* When several attempts failed in different ways, the one to tell the caller: a dispatcher's word about the service is worth more
 * than a refusal, and that more than silence. */
static int ask_weight(int error)
{
    switch (error) {
    case 0: return 0;
    case USHER_ENONODE: return 6;
    case USHER_ENOSERVICE: return 5;
    case USHER_EQUEUEFULL: return 4;
    case USHER_ENOTDISPATCHER: return 2;
    default: return error < -1000 ? 3 : 1; /* an errno is silence or a refusal */
    }
}

static void ask_note(struct ask *ask, int error)
{
    if (ask_weight(error) < ask_weight(ask->error))
        return;
    ask->error = error;
    ask->error_from = ask->choice.address;
}

/* Silence and refusals of all attempts together mean that nobody was reached. */
static enum ask_step ask_end(struct ask *ask)
{
    if (ask_weight(ask->error) <= 1)
        ask->error = USHER_EUNREACHABLE;
    return ASK_DONE;
}

static enum ask_step ask_next(struct ask *ask, const struct ask_world *world, uint64_t now_ns)
{
    /* Without a known region all dispatchers count as own ones. */
    uint32_t own_max = world->dispatchers->own_region ? ASK_ATTEMPTS_PER_SIDE : ASK_ATTEMPTS_MAX;
    uint32_t other_attempts = ask->attempts - ask->own_attempts;
    struct dispatchers_choice choice;
    if (ask->attempts == ASK_ATTEMPTS_MAX)
        return ask_end(ask);
    if (dispatchers_pick(world->dispatchers, ask->tried, ask->attempts, ask->own_attempts < own_max,
                         other_attempts < ASK_ATTEMPTS_PER_SIDE, now_ns, world->random, &choice) < 0)
        return ask_end(ask);

    /* After an answer that was of no use, asking elsewhere is extra work for a service that does answer; so is a repeat to one that
     * was silent, which may have got the request. */
    bool repeat = ask->attempts > 0 && (choice.rank == DISPATCHERS_LAST_RESORT || ask->tried[ask->attempts - 1].answered);
    if (repeat && ++ask->repeats > 1 && !budget_spend(world->budget))
        return ask_end(ask);

    ask->choice = choice;
    ask->tried[ask->attempts++].address = choice.address;
    if (choice.own_region)
        ask->own_attempts++;
    return ASK_SEND;
}

enum ask_step ask_start(struct ask *ask, const struct ask_world *world, uint64_t now_ns)
{
    *ask = (struct ask){0};
    budget_earn(world->budget);
    return ask_next(ask, world, now_ns);
}

enum ask_step ask_on_failure(struct ask *ask, const struct ask_world *world, int error, uint64_t now_ns)
{
    dispatchers_on_failure(world->dispatchers, &ask->choice.address, now_ns, world->random);
    ask_note(ask, error);
    return ask_next(ask, world, now_ns);
}

enum ask_step ask_on_error(struct ask *ask, const struct ask_world *world, int error, uint64_t now_ns)
{
    /* A worker answers, but not as a dispatcher: no use in asking it again for the fault time. */
    if (error == USHER_ENOTDISPATCHER)
        dispatchers_on_failure(world->dispatchers, &ask->choice.address, now_ns, world->random);
    else
        dispatchers_on_answer(world->dispatchers, &ask->choice.address, 0, now_ns, world->random);
    ask->tried[ask->attempts - 1].answered = true;
    ask_note(ask, error);
    return ask_next(ask, world, now_ns);
}

enum ask_step ask_on_answer(struct ask *ask, const struct ask_world *world, uint16_t region, uint64_t now_ns)
{
    dispatchers_on_answer(world->dispatchers, &ask->choice.address, region, now_ns, world->random);
    ask->error = 0;
    return ASK_DONE;
}
