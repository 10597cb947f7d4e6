/* The whole way of a request through a dispatcher's core, without the sockets: bytes, decoder, FIFO request queue, pick, encoder, bytes.
 * The functions are the dispatcher's own, called as receive_tcp.c and send_tcp.c call them, or receive_udp.c and send.c. In the same
 * rounds stands a reference that needs nothing but the core, so that a report shows whether the core was shared (reference.h). */
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "bench/parts/micro.h"
#include "bench/parts/nodes.h"
#include "bench/parts/reference.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "dispatcher/answer.h"

#define REQUEST_BYTES_MAX 64u
#define BATCH ANSWER_BATCH_MAX
#define INPUTS 16u /* batches of requests, taken in turn: what was received last is not all in the first-level cache */
#define QUEUE_SLOTS 8192u /* the dispatcher's default */
#define TCP_LIMIT_BYTES 512u /* receive_tcp.c's, for each answer */

enum path_way {
    PATH_TCP,
    PATH_UDP, /* joined datagrams of a request each */
    PATH_WAYS,
};

static const char *const path_way_names[PATH_WAYS] = {"TCP", "UDP"};

struct path_bench;

struct path_input {
    struct path_bench *bench;
    enum path_way way;
    uint32_t frame_bytes; /* of a request, as usher-load sends it */
    uint8_t bytes[INPUTS][BATCH * REQUEST_BYTES_MAX];
};

struct path_bench {
    struct micro_nodes nodes;
    struct request_queue queue;
    struct pick_state picks;
    struct counters counters;
    struct answer_context answers;
    uint64_t begin_ns; /* of the picks' clock */
    struct path_input inputs[PATH_WAYS];
    uint8_t output[BATCH * REQUEST_BYTES_MAX + TCP_LIMIT_BYTES];
};

static bool batch_take(struct path_bench *bench, const struct request *from, const struct path_input *input, uint64_t batch)
{
    const uint8_t *bytes = input->bytes[batch % INPUTS];
    uint32_t used = 0, count, length = BATCH * input->frame_bytes;
    uint32_t segment_bytes = input->way == PATH_UDP ? input->frame_bytes : length;
    while (used < length) {
        used += request_queue_take(&bench->queue, from, bytes + used, length - used, segment_bytes, BATCH, &count);
        if (count == 0)
            return false;
    }
    return true;
}

/* As send_tcp does for the requests of one connection. */
static uint32_t answers_encode_tcp(struct path_bench *bench, const struct request requests[], uint32_t count)
{
    struct answer_run run = {.count = 1};
    uint32_t length = 0;
    for (uint32_t i = 0; i < count && run.count > 0; i += run.count) {
        answer_encode_run(&bench->answers, requests + i, count - i, bench->output + length, sizeof(bench->output) - length, &run);
        length += run.bytes;
    }
    return length;
}

/* As send_udp does, each into a datagram of its own. */
static uint32_t answers_encode_udp(struct path_bench *bench, const struct request requests[], uint32_t count)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += answer_encode(&bench->answers, &requests[i], bench->output + i * REQUEST_BYTES_MAX);
    return length;
}

static uint32_t batch_answer(struct path_bench *bench, enum path_way way, uint64_t now_ns)
{
    uint32_t length = 0;
    size_t count;
    answer_begin(&bench->answers, POLICY_FINISH_TIME, bench->nodes.view);
    const struct request *requests = spsc_queue_peek(&bench->queue.items, &count);
    while (count) {
        uint32_t batch = count < BATCH ? (uint32_t)count : BATCH;
        answer_prepare(&bench->answers, requests, batch, now_ns);
        length += way == PATH_TCP ? answers_encode_tcp(bench, requests, batch) : answers_encode_udp(bench, requests, batch);
        spsc_queue_release(&bench->queue.items, batch);
        requests = spsc_queue_peek(&bench->queue.items, &count);
    }
    return length;
}

static int path_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    const struct path_input *input = ctx;
    struct path_bench *bench = input->bench;
    const uint32_t answers_bytes = BATCH * wire_address_bytes(1, ADDRESS_IPV4);
    struct request from = {.transport = input->way == PATH_TCP ? FRAME_TCP : FRAME_UDP,
                           .limit = TCP_LIMIT_BYTES,
                           .peer = {.family = ADDRESS_IPV4, .port = 1, .ip = {127, 0, 0, 1}}};
    bool all = true;
    uint64_t started_ns = clock_monotonic_ns();
    for (uint64_t done = 0; done < operations; done += BATCH) {
        from.arrived_ns = bench->begin_ns + done;
        all &= batch_take(bench, &from, input, done / BATCH);
        all &= batch_answer(bench, input->way, from.arrived_ns) == answers_bytes;
        micro_keep((uintptr_t)bench->output);
    }
    *ret_ns = clock_monotonic_ns() - started_ns;
    return all ? 0 : -EBADMSG;
}

/* Requests as usher-load and libusher write them: over UDP padded for the address of an IPv6 node, over TCP not at all. */
static int input_init(struct path_bench *bench, enum path_way way)
{
    struct path_input *input = &bench->inputs[way];
    uint32_t padded_bytes = way == PATH_UDP ? wire_address_bytes(1, ADDRESS_IPV6) : 0;
    uint8_t *at = input->bytes[0];
    input->bench = bench;
    input->way = way;
    for (uint32_t i = 0; i < INPUTS * BATCH; i++) {
        struct wire_address_request request = {.service_id = micro_service_id(i % MICRO_SERVICES), .count = 1, .wait_ms = 1000};
        if (i % BATCH == 0)
            at = input->bytes[i / BATCH];
        int length = wire_address_request_encode(&request, i, padded_bytes, at, REQUEST_BYTES_MAX);
        if (length < 0)
            return length;
        input->frame_bytes = (uint32_t)length;
        at += length;
    }
    return 0;
}

static int path_init(struct path_bench *bench, uint32_t node_count)
{
    memset(bench, 0, sizeof(*bench));
    int error = micro_nodes_init(&bench->nodes, node_count);
    if (error < 0)
        return error;
    error = request_queue_init(&bench->queue, QUEUE_SLOTS);
    if (error < 0) {
        micro_nodes_done(&bench->nodes);
        return error;
    }
    pick_state_init(&bench->picks, 1, 1.5f);
    bench->picks.finish = &bench->nodes.finish;
    bench->answers = (struct answer_context){.picks = &bench->picks,
                                             .values = bench->nodes.values,
                                             .queue = &bench->queue,
                                             .counters = &bench->counters,
                                             .boot_id = 77};
    for (enum path_way way = 0; way < PATH_WAYS && error >= 0; way++)
        error = input_init(bench, way);
    if (error < 0) {
        request_queue_done(&bench->queue);
        micro_nodes_done(&bench->nodes);
    }
    return error;
}

/* How old what is known of the nodes is: nothing, or so old that they get turns; what they had to do is done by then. */
static const struct {
    const char *name;
    uint32_t age_s;
} path_ages[] = {{"", 0}, {", in turn", 1}};

/* Times the cycles of a core of its own: from the one on it was shared, and below the other, which no core can do, the clock itself stood
 * still for a while. */
#define SHARED_FROM 1.15
#define STOLEN_BELOW 0.95
#define REFERENCES 2u

/* Of a set whose first subjects are the references: what is one after the other takes a cycle each. */
static double core_share(double chain_ns, double wide_ns)
{
    return wide_ns * REFERENCE_LANES / chain_ns;
}

static bool core_is_own(const double ns[])
{
    double share = core_share(ns[0], ns[1]);
    return share > STOLEN_BELOW && share < SHARED_FROM;
}

/* The ways, in rounds with the references, which have rows beside the usual ones alone. */
static int path_measure_age(struct micro *micro, struct path_bench *bench, uint32_t nodes, uint32_t age)
{
    struct micro_subject subjects[REFERENCES + PATH_WAYS] = {{.run = reference_chain, .against = MICRO_NONE},
                                                             {.run = reference_wide, .against = MICRO_NONE}};
    uint32_t count = reference_exists() ? REFERENCES : 0, against = count > 0 && age == 0 ? 1 : MICRO_NONE;
    if (against != MICRO_NONE) {
        (void)snprintf(subjects[0].name, MICRO_NAME_BYTES, "reference beside %u nodes, one after the other", nodes);
        (void)snprintf(subjects[1].name, MICRO_NAME_BYTES, "reference beside %u nodes, %u at a time", nodes, REFERENCE_LANES);
    }
    for (enum path_way way = 0; way < PATH_WAYS; way++) {
        struct micro_subject *subject = &subjects[count++];
        *subject = (struct micro_subject){
            .run = path_run, .ctx = &bench->inputs[way], .against = against, .goal_ns = nodes <= 1000 ? 30 : 45}; /* P7 */
        (void)snprintf(subject->name, MICRO_NAME_BYTES, "decode, queue, pick, encode: %s, %u nodes%s", path_way_names[way], nodes,
                       path_ages[age].name);
    }
    atomic_store_explicit(&bench->nodes.finish.age_s, (float)path_ages[age].age_s, memory_order_relaxed);
    bench->begin_ns = path_ages[age].age_s * NS_PER_S;
    return micro_measure_judged(micro, subjects, count, reference_exists() ? core_is_own : NULL);
}

static int path_measure(struct micro *micro, struct path_bench *bench, uint32_t nodes)
{
    int error = path_init(bench, nodes);
    if (error < 0)
        return micro_fail(micro, error, "no memory for %u nodes", nodes);
    for (uint32_t i = 0; i < ARRAY_COUNT(path_ages) && error == 0; i++)
        error = path_measure_age(micro, bench, nodes, i);
    request_queue_done(&bench->queue);
    micro_nodes_done(&bench->nodes);
    return error;
}

/* Over all numbers of nodes, how many times as long as on a core of its own the reference took. */
static void path_note(struct micro *micro, uint32_t first)
{
    const uint32_t rows = REFERENCES + PATH_WAYS * (uint32_t)ARRAY_COUNT(path_ages); /* of a number of nodes */
    double least = DBL_MAX, most = 0;
    for (uint32_t i = first; i < micro->row_count; i += rows) {
        double share = core_share(micro->rows[i].ns.median, micro->rows[i + 1].ns.median);
        least = share < least ? share : least;
        most = share > most ? share : most;
    }
    micro_note(micro, "path: the reference took %.2f to %.2f times the cycles of a core of its own, at %.1f GHz", least, most,
               REFERENCE_INSTRUCTIONS / micro->rows[first].ns.median);
}

/* Whoever shares the core comes and goes within tens of milliseconds: many short rounds, so that most are wholly with or without. */
#define ROUND_PARTS 10u

int micro_path(struct micro *micro)
{
    const uint32_t first = micro->row_count, rounds = micro->rounds;
    const uint64_t sample_ns = micro->sample_ns;
    struct path_bench *bench = memory_new_aligned(sizeof(*bench));
    int error = bench ? 0 : micro_fail(micro, -ENOMEM, "out of memory");
    micro->rounds = rounds * ROUND_PARTS < MICRO_ROUNDS_MAX ? rounds * ROUND_PARTS : MICRO_ROUNDS_MAX;
    micro->sample_ns = sample_ns / ROUND_PARTS;
    for (uint32_t i = 0; i < MICRO_NODE_COUNTS && error == 0; i++)
        error = path_measure(micro, bench, micro_node_counts[i]);
    if (error == 0 && reference_exists())
        path_note(micro, first);
    micro->rounds = rounds;
    micro->sample_ns = sample_ns;
    free(bench);
    return error;
}
