/* What a subscriber makes of the frames it gets, against what the cluster lists. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "rm/feed.h"
#include "tests/unit/rm/fixture.h"

#define RM_ID 77
#define EPOCH 5
#define NODES_MAX 2000

/* A dispatcher's list, by node number. */
struct receiver {
    struct wire_version version;
    bool present[NODES_MAX];
    float load[NODES_MAX];
    bool last[NODES_MAX];
    uint32_t generation[NODES_MAX];
    uint32_t list; /* generation of the list in progress */
    uint32_t lists;
    uint32_t deltas;
};

static struct fixture *fixture;
static struct feed feed;
static struct receiver receiver;
static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];

static void setup(void)
{
    fixture = fixture_new(true);
    feed_init(&feed, RM_ID, EPOCH);
    receiver = (struct receiver){.list = 0};
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(feed, .init = setup, .fini = teardown);

static uint32_t number_of(const struct address *address)
{
    return (uint32_t)address->ip[2] << 8 | address->ip[3];
}

static void take_nodes(struct wire_nodes *nodes)
{
    struct address address;
    struct wire_node node;
    enum refusal refusal;
    int more;
    while ((more = wire_nodes_next_removed(nodes, &address, &refusal)) > 0)
        receiver.present[number_of(&address)] = false;
    cr_assert_eq(more, 0);
    while ((more = wire_nodes_next(nodes, &node, &refusal)) > 0) {
        uint32_t number = number_of(&node.address);
        receiver.present[number] = true;
        receiver.load[number] = node.load_index;
        receiver.last[number] = (node.flags & WIRE_NODE_LAST) != 0;
        receiver.generation[number] = receiver.list;
    }
    cr_assert_eq(more, 0);
}

static void take_list(const struct frame *frame)
{
    struct wire_directory directory;
    struct wire_nodes nodes;
    enum refusal refusal;
    cr_assert_eq(wire_directory_decode(frame, &directory, &nodes, &refusal), 0);
    receiver.list += directory.first;
    take_nodes(&nodes);
    if (directory.more)
        return;
    for (uint32_t i = 0; i < NODES_MAX; i++)
        receiver.present[i] = receiver.present[i] && receiver.generation[i] == receiver.list;
    receiver.version = directory.version;
    receiver.lists++;
}

static void take_delta(const struct frame *frame)
{
    struct wire_delta delta;
    struct wire_nodes nodes;
    enum refusal refusal;
    cr_assert_eq(wire_delta_decode(frame, &delta, &nodes, &refusal), 0);
    cr_assert_eq(delta.rm_id, receiver.version.rm_id);
    cr_assert_eq(delta.epoch, receiver.version.epoch);
    cr_assert_eq(delta.base_sequence, receiver.version.sequence, "deltas are a chain without gaps");
    take_nodes(&nodes);
    receiver.version.sequence = delta.sequence;
    receiver.deltas++;
}

/* One frame; false when there was none. */
static bool take_frame(void)
{
    struct frame frame;
    enum refusal refusal;
    uint32_t length = feed_next(&feed, fixture->cluster, fixture->now.ns, bytes);
    if (length == 0)
        return false;
    cr_assert_leq(length, DIRECTORY_PART_BYTES_MAX);
    cr_assert_eq(frame_decode_stream(bytes, length, &frame, &refusal), (int)length);
    cr_assert_eq(frame.request_id, 9);
    if (frame.type == FRAME_TYPE_DIRECTORY)
        take_list(&frame);
    else
        take_delta(&frame);
    return true;
}

static void take_all(void)
{
    while (take_frame())
        ;
}

static void subscribe(bool push)
{
    struct wire_subscribe request = {.boot_id = 42, .region = 1, .push = push, .have = receiver.version};
    feed_subscribe(&feed, &request, 9, fixture->now.ns);
}

static void check_same(void)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct address address = fixture_address(i);
        uint32_t slot = cluster_find(fixture->cluster, &address);
        const struct node *node = slot != NODE_NONE ? &fixture->cluster->nodes[slot] : NULL;
        bool listed = node && node_is_listed(node);
        cr_assert_eq(receiver.present[i], listed, "node %u", i);
        if (listed) {
            cr_assert_eq(receiver.load[i], node->load_index);
            cr_assert_eq(receiver.last[i], node->state == NODE_LAST);
        }
    }
}

Test(feed, nothing_is_sent_before_a_subscription)
{
    fixture_beat(fixture, 1, 1);
    cr_assert_eq(feed_next(&feed, fixture->cluster, fixture->now.ns, bytes), 0);
}

Test(feed, nothing_is_pushed_to_who_only_asks)
{
    fixture_beat(fixture, 1, 1);
    subscribe(false);
    take_all();
    check_same();
    fixture_beat(fixture, 1, 2);
    cr_assert_not(take_frame());
    subscribe(false);
    take_all();
    check_same();
}

Test(feed, list_of_nothing_is_answered)
{
    subscribe(true);
    take_all();
    cr_assert_eq(receiver.lists, 1);
}

Test(feed, question_is_answered_when_nothing_has_changed)
{
    fixture_beat(fixture, 1, 1);
    subscribe(true);
    take_all();
    subscribe(true);
    take_all();
    cr_assert_eq(receiver.lists, 1);
    cr_assert_eq(receiver.deltas, 1);
}

Test(feed, changes_are_pushed_as_deltas)
{
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    subscribe(true);
    take_all();
    fixture_beat(fixture, 2, 5);
    fixture_beat(fixture, 3, 5);
    take_all();
    check_same();
    cr_assert_eq(receiver.lists, 1);
}

Test(feed, another_epoch_gets_a_full_list)
{
    fixture_beat(fixture, 1, 1);
    receiver.version = (struct wire_version){.rm_id = RM_ID, .epoch = EPOCH - 1, .sequence = 1};
    subscribe(true);
    take_all();
    check_same();
    cr_assert_eq(receiver.lists, 1);
}

Test(feed, who_comes_back_with_our_list_gets_the_difference)
{
    fixture_beat(fixture, 1, 1);
    subscribe(true);
    take_all();
    fixture_beat(fixture, 2, 1);
    feed_init(&feed, RM_ID, EPOCH);
    subscribe(true);
    take_all();
    check_same();
    cr_assert_eq(receiver.lists, 1);
}

Test(feed, who_lost_its_list_gets_a_full_one)
{
    fixture_beat(fixture, 1, 1);
    subscribe(true);
    take_all();
    receiver.version = (struct wire_version){.rm_id = 0};
    subscribe(true);
    take_all();
    check_same();
    cr_assert_eq(receiver.lists, 2);
}

Test(feed, list_is_replaced_every_30_seconds)
{
    fixture_beat(fixture, 1, 1);
    subscribe(true);
    take_all();
    fixture->now.ns += FEED_FULL_INTERVAL_NS;
    subscribe(true);
    take_all();
    cr_assert_eq(receiver.lists, 2);
}

Test(feed, jobs_of_the_subscribers_own_boot_are_told)
{
    uint32_t slot;
    struct frame frame;
    struct wire_directory directory;
    struct wire_nodes nodes;
    struct wire_node node;
    enum refusal refusal;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.echo_count = 2;
    heartbeat.echoes[0] = (struct wire_echo){.dispatcher_boot_id = 41, .jobs = 5};
    heartbeat.echoes[1] = (struct wire_echo){.dispatcher_boot_id = 42, .jobs = 6};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    subscribe(true);
    uint32_t length = feed_next(&feed, fixture->cluster, fixture->now.ns, bytes);
    cr_assert_eq(frame_decode_stream(bytes, length, &frame, &refusal), (int)length);
    cr_assert_eq(wire_directory_decode(&frame, &directory, &nodes, &refusal), 0);
    cr_assert_eq(wire_nodes_next_removed(&nodes, &node.address, &refusal), 0);
    cr_assert_eq(wire_nodes_next(&nodes, &node, &refusal), 1);
    cr_assert_eq(node.echo_jobs, 6);
}

Test(feed, list_of_many_parts_takes_in_what_changes_meanwhile)
{
    for (uint32_t i = 0; i < NODES_MAX - 10; i++)
        fixture_beat(fixture, i, 1);
    subscribe(true);
    cr_assert(take_frame());
    cr_assert_eq(receiver.lists, 0, "there is more than one part");
    fixture_beat(fixture, 3, 7);
    fixture_beat(fixture, NODES_MAX - 1, 7);
    take_all();
    check_same();
    cr_assert_eq(receiver.lists, 1);
}

/* Nodes come, change and go; the subscriber reads now and then, a few frames at a time, asks anew, loses its connection. */
Test(feed, subscriber_agrees_whatever_happens)
{
    struct random_state random;
    random_init(&random, 4);
    subscribe(true);
    for (uint32_t step = 0; step < 3000; step++) {
        for (uint32_t i = random_below(&random, 20); i > 0; i--)
            fixture_beat(fixture, random_below(&random, 300), (float)random_below(&random, 9));
        fixture_pass(fixture, random_below(&random, (uint32_t)(200 * NS_PER_MS)));
        if (random_below(&random, 3) == 0)
            (void)take_frame();
        if (random_below(&random, 20) == 0)
            subscribe(true);
        if (random_below(&random, 100) == 0) {
            feed_init(&feed, RM_ID, EPOCH);
            subscribe(true);
        }
        if (random_below(&random, 50) == 0) {
            take_all();
            check_same();
        }
    }
    cr_assert_gt(fixture->cluster->removal_count, 100);
}
