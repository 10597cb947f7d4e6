/* The whole way of a request through a dispatcher's core, without the sockets: bytes, decoder, FIFO request queue, pick, encoder, bytes.
 * The functions are the dispatcher's own, called as receive_tcp.c and send.c call them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/micro/micro.h"
#include "bench/micro/nodes.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "dispatcher/answer.h"

#define FRAME_BYTES 44u
#define BATCH ANSWER_BATCH_MAX
#define INPUTS 16u /* batches of requests, taken in turn: what was received last is not all in the first-level cache */
#define QUEUE_SLOTS 8192u /* the dispatcher's default */

struct path_bench {
    struct micro_nodes nodes;
    struct request_queue queue;
    struct pick_state picks;
    struct counters counters;
    struct answer_context answers;
    uint64_t begin_ns; /* of the picks' clock */
    uint8_t inputs[INPUTS][BATCH * FRAME_BYTES];
    uint8_t output[BATCH * FRAME_BYTES];
};

static bool batch_take(struct path_bench *bench, const struct request *from, const uint8_t *bytes)
{
    uint32_t used = 0, count;
    while (used < sizeof(bench->inputs[0])) {
        used += request_queue_take(&bench->queue, from, bytes + used, (uint32_t)sizeof(bench->inputs[0]) - used,
                                   (uint32_t)sizeof(bench->inputs[0]) - used, BATCH, &count);
        if (count == 0)
            return false;
    }
    return true;
}

static uint32_t batch_answer(struct path_bench *bench, uint64_t now_ns)
{
    uint32_t length = 0;
    size_t count;
    answer_begin(&bench->answers, POLICY_FINISH_TIME, bench->nodes.view);
    const struct request *requests = spsc_queue_peek(&bench->queue.items, &count);
    while (count) {
        uint32_t batch = count < BATCH ? (uint32_t)count : BATCH;
        answer_prepare(&bench->answers, requests, batch, now_ns);
        for (uint32_t i = 0; i < batch; i++)
            length += answer_encode(&bench->answers, &requests[i], bench->output + length);
        spsc_queue_release(&bench->queue.items, batch);
        requests = spsc_queue_peek(&bench->queue.items, &count);
    }
    return length;
}

static int path_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct path_bench *bench = ctx;
    struct request from = {
        .transport = FRAME_TCP, .limit = 512, .peer = {.family = ADDRESS_IPV4, .port = 1, .ip = {127, 0, 0, 1}}};
    bool all = true;
    uint64_t started_ns = clock_monotonic_ns();
    for (uint64_t done = 0; done < operations; done += BATCH) {
        from.arrived_ns = bench->begin_ns + done;
        all &= batch_take(bench, &from, bench->inputs[done / BATCH % INPUTS]);
        all &= batch_answer(bench, from.arrived_ns) == sizeof(bench->output);
        micro_keep((uintptr_t)bench->output);
    }
    *ret_ns = clock_monotonic_ns() - started_ns;
    return all ? 0 : -EBADMSG;
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
    for (uint32_t i = 0; i < INPUTS * BATCH && error >= 0; i++) {
        struct wire_address_request request = {.service_id = micro_service_id(i % MICRO_SERVICES), .count = 1, .wait_ms = 1000};
        error = wire_address_request_encode(&request, i, FRAME_BYTES, &bench->inputs[i / BATCH][i % BATCH * FRAME_BYTES],
                                            FRAME_BYTES);
    }
    return error < 0 ? error : 0;
}

/* How old what is known of the nodes is: nothing, or so old that they get turns; what they had to do is done by then. */
static const struct {
    const char *name;
    uint32_t age_s;
} path_ages[] = {{"", 0}, {", in turn", 1}};

static int path_measure(struct micro *micro, struct path_bench *bench, uint32_t nodes)
{
    struct micro_subject subject = {.run = path_run, .ctx = bench, .against = MICRO_NONE};
    int error = path_init(bench, nodes);
    if (error < 0)
        return micro_fail(micro, error, "no memory for %u nodes", nodes);
    subject.goal_ns = nodes <= 1000 ? 30 : 45; /* P7 */
    for (uint32_t i = 0; i < ARRAY_COUNT(path_ages) && error == 0; i++) {
        (void)snprintf(subject.name, MICRO_NAME_BYTES, "decode, queue, pick, encode, %u nodes%s", nodes, path_ages[i].name);
        atomic_store_explicit(&bench->nodes.finish.age_s, (float)path_ages[i].age_s, memory_order_relaxed);
        bench->begin_ns = path_ages[i].age_s * NS_PER_S;
        error = micro_measure(micro, &subject, 1);
    }
    request_queue_done(&bench->queue);
    micro_nodes_done(&bench->nodes);
    return error;
}

int micro_path(struct micro *micro)
{
    struct path_bench *bench = memory_new_aligned(sizeof(*bench));
    int error = bench ? 0 : micro_fail(micro, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < MICRO_NODE_COUNTS && error == 0; i++)
        error = path_measure(micro, bench, micro_node_counts[i]);
    free(bench);
    return error;
}
