/* The conversation with the resource managers, whatever they answer: what heartbeat.h promises holds in some thousand of them that are
 * drawn by chance, with answers that are late, lost, doubled, refusing, and of another region. The seed is in each message. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/base/random.h"
#include "core/node/heartbeat.h"

#define MS UINT64_C(1000000)
#define START (5000 * MS)
#define SEEDS 4000u
#define EVENTS 300u
#define RMS 2u
#define ANSWERS_MAX 16u
#define LATE_NS_MAX (40 * MS) /* of the loop */

enum kind {
    FITS,
    WANTS_REGISTER,
    OTHER_REGION,
    REFUSES,
    SILENT,
    KINDS,
};

struct answer {
    uint64_t at_ns;
    uint64_t sequence;
    uint32_t rm;
    enum kind kind;
};

static struct {
    struct random_state random;
    uint32_t seed;
    uint64_t now_ns;
    struct heartbeats beats;
    enum kind mood[RMS]; /* what is answered most of the time */
    uint32_t answer_count;
    struct answer answers[ANSWERS_MAX];
    uint64_t rm_sequence;
    uint64_t beat_ns[RMS]; /* the last HEARTBEAT; 0: none */
    uint64_t until_ns[RMS]; /* the next message must go out */
    uint32_t fits; /* acknowledgements that counted */
    uint32_t refusals; /* ERRORs that did */
} world;

static bool by_chance(uint32_t percent)
{
    return random_below(&world.random, 100) < percent;
}

static uint64_t up_to(uint64_t most_ns)
{
    return random_below(&world.random, (uint32_t)(most_ns / 1000) + 1) * UINT64_C(1000);
}

static void world_init(uint32_t seed)
{
    static const uint64_t intervals[] = {12 * MS, 100 * MS, 1000 * MS, 1000 * MS, 3000 * MS, 7000 * MS};
    struct address rms[RMS];
    memset(&world, 0, sizeof(world));
    world.seed = seed;
    world.now_ns = START;
    random_init(&world.random, seed);
    cr_assert_eq(address_parse("127.0.0.1:7300", &rms[0]), 0);
    cr_assert_eq(address_parse("[::1]:7300", &rms[1]), 0);
    heartbeats_init(&world.beats, rms, RMS, 1, intervals[random_below(&world.random, 6)], random_unit(&world.random), START);
    for (uint32_t i = 0; i < RMS; i++) {
        world.mood[i] = random_below(&world.random, KINDS);
        world.until_ns[i] = START + LATE_NS_MAX;
    }
}

static uint64_t latest_ns(void)
{
    return world.now_ns + world.beats.interval_ns + HEARTBEAT_GAP_NS + LATE_NS_MAX;
}

/* None, one or two answers. */
static void answers_draw(uint32_t rm, uint64_t sequence)
{
    for (uint32_t i = by_chance(10) ? 2 : 1; i > 0 && world.answer_count < ANSWERS_MAX; i--) {
        enum kind kind = by_chance(70) ? world.mood[rm] : random_below(&world.random, KINDS);
        if (kind == SILENT)
            continue;
        uint64_t delay_ns = up_to(by_chance(80) ? 15 * MS : 3 * world.beats.interval_ns);
        world.answers[world.answer_count++] =
            (struct answer){.at_ns = world.now_ns + delay_ns, .sequence = sequence, .rm = rm, .kind = kind};
    }
    if (by_chance(5))
        world.mood[rm] = random_below(&world.random, KINDS);
}

static void message_take(uint32_t rm)
{
    uint64_t sequence;
    uint32_t padded_length;
    bool changed;
    enum heartbeat_message message = heartbeats_take(&world.beats, rm, world.now_ns, &sequence, &padded_length, &changed);
    cr_assert(world.now_ns <= world.until_ns[rm], "seed %u: silent for too long", world.seed);
    if (message == HEARTBEAT_NOTHING)
        return;
    if (message == HEARTBEAT_BEAT) {
        cr_assert(world.beat_ns[rm] == 0 || world.now_ns - world.beat_ns[rm] >= HEARTBEAT_GAP_NS, "seed %u: too near",
                  world.seed);
        world.beat_ns[rm] = world.now_ns;
    }
    world.until_ns[rm] = latest_ns();
    answers_draw(rm, sequence);
}

static void ack_arrives(const struct answer *answer)
{
    struct wire_heartbeat_ack ack = {
        .region = answer->kind == OTHER_REGION ? 2 : 1,
        .flags = answer->kind == WANTS_REGISTER ? WIRE_ACK_REGISTER_WANTED : 0,
        .acked_sequence = answer->sequence,
        .trailer = {.boot_id = 700, .sequence = ++world.rm_sequence},
    };
    bool changed;
    if (by_chance(2))
        ack.admin = (struct wire_admin){.version_ms = world.now_ns, .writer_rm_id = 1};
    if (heartbeats_on_ack(&world.beats, answer->rm, &ack, world.now_ns, &changed) < 0)
        return;
    bool fits = answer->kind != OTHER_REGION;
    world.until_ns[answer->rm] = latest_ns() + (fits ? 0 : HEARTBEAT_REFUSED_NS);
    world.fits += fits;
}

static void answer_arrives(uint32_t index)
{
    struct answer answer = world.answers[index];
    bool changed;
    world.answers[index] = world.answers[--world.answer_count];
    if (answer.kind != REFUSES)
        ack_arrives(&answer);
    else if (heartbeats_on_error(&world.beats, answer.rm, answer.sequence, world.now_ns, &changed) == 0)
        world.refusals++;
}

/* The answer that comes first, or ANSWERS_MAX when the loop's turn is before that. */
static uint32_t answer_next(uint64_t turn_ns)
{
    uint32_t next = ANSWERS_MAX;
    for (uint32_t i = 0; i < world.answer_count; i++)
        if (world.answers[i].at_ns < turn_ns) {
            turn_ns = world.answers[i].at_ns;
            next = i;
        }
    return next;
}

static void turn(void)
{
    uint64_t due_ns = heartbeats_due_ns(&world.beats);
    uint64_t turn_ns = due_ns + (by_chance(10) ? up_to(LATE_NS_MAX) : 0);
    turn_ns = turn_ns > world.now_ns ? turn_ns : world.now_ns;
    uint32_t next = answer_next(turn_ns);
    if (next != ANSWERS_MAX) {
        world.now_ns = world.answers[next].at_ns > world.now_ns ? world.answers[next].at_ns : world.now_ns;
        answer_arrives(next);
    } else {
        world.now_ns = turn_ns;
        for (uint32_t i = 0; i < RMS; i++)
            message_take(i);
    }
    if (by_chance(5))
        heartbeats_change(&world.beats, world.now_ns);
}

Test(heartbeat_any, promises_hold_whatever_is_answered)
{
    uint64_t fits = 0, refusals = 0;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        world_init(seed);
        for (uint32_t i = 0; i < EVENTS; i++)
            turn();
        fits += world.fits;
        refusals += world.refusals;
    }
    cr_expect_gt(fits, SEEDS * EVENTS / 10, "that many counted");
    cr_expect_gt(refusals, SEEDS * EVENTS / 100, "that many counted");
}
