/* A dispatcher's subscription follows a feeder as it follows rm. */
#include <criterion/criterion.h>

#include "bench/feed/feeder.h"
#include "core/base/clock.h"
#include "core/wire/heartbeat.h"
#include "dispatcher/subscription.h"

#define NODES 3000u /* more than fit into one frame */

static struct loop *loop;
static struct feeder *feeder;
static struct directory *directory;
static struct subscription subscription;
static struct counters counters;
static struct address address;

static void start(uint32_t updates_per_s, double changes_per_s, bool push)
{
    struct loop_config loop_config;
    loop_config_init(&loop_config);
    cr_assert_eq(loop_new(&loop_config, &loop), 0);
    struct feeder_config config = {
        .loop = loop,
        .region = 1,
        .updates_per_s = updates_per_s,
        .changes_per_s = changes_per_s,
        .fleet = {.node_count = NODES, .service_count = 1, .services_per_node = 1, .below = 0.5f, .seed = 1},
    };
    cr_assert_eq(address_parse("127.0.0.1:0", &config.listen), 0);
    cr_assert_eq(feeder_new(&config, &feeder), 0);
    address = *feeder_address(feeder);
    cr_assert_eq(directory_new(1, 1, &directory), 0);
    struct subscription_config follow = {
        .loop = loop,
        .directory = directory,
        .counters = &counters,
        .rms = {.item = &address, .count = 1},
        .subscriber = {.family = ADDRESS_IPV4, .port = 7400, .ip = {127, 0, 0, 1}},
        .boot_id = 42,
        .region = 1,
        .refresh_ns = 10 * NS_PER_MS,
        .push = push,
    };
    subscription_start(&subscription, &follow);
}

static void teardown(void)
{
    subscription_stop(&subscription);
    feeder_free(feeder);
    loop_free(loop);
    directory_free(directory);
}

/* Batches until the condition holds; only a failing test waits long. */
#define run_until(condition)                                                                                                     \
    do {                                                                                                                         \
        for (uint32_t batches = 0; !(condition); batches++) {                                                                    \
            cr_assert_lt(batches, 5000u, "waited in vain for %s", #condition);                                                   \
            cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);                                                                     \
        }                                                                                                                        \
    } while (0)

Test(feeder, a_subscriber_gets_the_whole_list, .fini = teardown)
{
    start(0, 0, true);
    run_until(directory_is_filled(directory));
    cr_expect_eq(directory->members.present_count, NODES);
    cr_expect_eq(feeder->stats.lists, 1);
}

Test(feeder, questions_are_answered_while_nothing_changes, .fini = teardown)
{
    start(0, 0, true);
    run_until(subscription.request_id > 5 && subscription.asked_ns == 0);
    cr_expect_eq(feeder->stats.lists, 1);
    cr_expect(subscription.following);
}

Test(feeder, a_subscriber_follows_load_reports_and_changes, .fini = teardown)
{
    start(50000, 100, true);
    run_until(feeder->stats.updates > NODES && feeder->stats.changes > 3 && directory->version.sequence == feeder->sequence);
    cr_expect_eq(directory->members.present_count, NODES);
    cr_expect_eq(counter_read(&counters, COUNTER_DIRECTORY_GAPS), 0);
    cr_expect_eq(feeder->stats.lists, 1);
}

Test(feeder, without_push_a_list_comes_when_asked_for, .fini = teardown)
{
    start(1000, 0, false);
    run_until(feeder->stats.lists > 2 && directory->version.sequence > 10);
    cr_expect_eq(directory->members.present_count, NODES);
}

static uint64_t acked_sequence;

static void on_ack(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct frame frame;
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    (void)ctx;
    (void)udp;
    (void)peer;
    cr_assert_gt(frame_decode_datagram(bytes, length, &frame, &refusal), 0);
    cr_assert_eq(wire_heartbeat_ack_decode(&frame, &ack, &refusal), 0);
    acked_sequence = ack.acked_sequence;
}

Test(feeder, a_heartbeat_is_acknowledged, .fini = teardown)
{
    struct wire_heartbeat heartbeat = {
        .node = {.family = ADDRESS_IPV4, .port = 7400, .ip = {127, 0, 0, 1}},
        .kind = WIRE_NODE_DISPATCHER,
        .slots = 1,
        .trailer = {.boot_id = 42, .sequence = 5},
    };
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct udp_config config;
    struct udp *udp;
    start(0, 0, true);
    udp_config_init(&config);
    cr_assert_eq(address_parse("127.0.0.1:0", &config.address), 0);
    config.on_datagram = on_ack;
    cr_assert_eq(udp_open(loop, &config, &udp), 0);
    int length = wire_heartbeat_encode(&heartbeat, 1, 200, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    cr_assert_eq(udp_send(udp, &address, bytes, (uint32_t)length), 0);
    run_until(acked_sequence != 0);
    cr_expect_eq(acked_sequence, 5);
    cr_expect_eq(feeder->stats.heartbeats, 1);
    udp_close(udp);
}
