/* rm's TCP side on a real loop: lists are held back, pushed, and not piled up for who does not read. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/io/backend.h"
#include "core/wire/directory.h"
#include "core/wire/error.h"
#include "rm/changes.h"
#include "rm/regions.h"
#include "rm/subscribers.h"
#include "tests/unit/rm/fixture.h"

#define WAIT_NS (5 * NS_PER_S)
#define PATIENCE_NS (NS_PER_S / 5)

static struct loop *loop;
static struct fixture *fixture;
static struct subscribers *subscribers;
static struct counters counters;
static int peer_fd;
static uint8_t bytes[2 * FRAME_BYTES_MAX];
static size_t length; /* received and not yet taken */

static struct loop_backend moved;
static uint64_t clock_offset_ns; /* by which the loop's clock is ahead of the machine's */

static uint64_t moved_clock(struct loop *of)
{
    (void)of;
    return clock_monotonic_ns() + clock_offset_ns;
}

static void clock_follow(void)
{
    fixture->now.ns = loop_now_ns(loop);
}

static void setup(void)
{
    struct loop_config config;
    struct sockaddr_storage address;
    int small = 16384;
    loop_config_init(&config);
    moved = loop_backend_epoll;
    moved.now_ns = moved_clock;
    config.backend = &moved;
    log_configure("test", LOG_ERROR, false);
    cr_assert_eq(loop_new(&config, &loop), 0);
    fixture = fixture_new(false);
    clock_follow();
    fixture->cluster->started_ns = fixture->now.ns;
    subscribers = fixture_subscribers(fixture, loop, &counters, PATIENCE_NS);
    struct address listen = subscribers_address(subscribers);
    socklen_t address_length = address_to_socket(&listen, &address);
    peer_fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(peer_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    cr_assert_eq(connect(peer_fd, (const struct sockaddr *)&address, address_length), 0);
}

static void teardown(void)
{
    close(peer_fd);
    subscribers_free(subscribers);
    loop_free(loop);
    fixture_free(fixture);
}

TestSuite(subscribers, .init = setup, .fini = teardown, .timeout = 60);

static void run_for(uint64_t duration_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + duration_ns;
    while (clock_monotonic_ns() < until_ns) {
        cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);
        clock_follow();
    }
}

static void subscribe_with(uint16_t region, struct wire_version have)
{
    uint8_t request[SUBSCRIBE_BYTES];
    struct wire_subscribe subscribe = {
        .subscriber = fixture_address(200), .boot_id = 42, .region = region, .push = true, .have = have};
    int request_length = wire_subscribe_encode(&subscribe, 9, request, sizeof(request));
    cr_assert_eq(send(peer_fd, request, (size_t)request_length, 0), request_length);
}

static void subscribe(uint16_t region, uint64_t have_rm_id)
{
    subscribe_with(region, (struct wire_version){.rm_id = have_rm_id});
}

/* The next frame, if one comes within the time. */
static bool frame_next(struct frame *ret_frame, uint64_t wait_ns)
{
    static size_t taken;
    uint64_t until_ns = clock_monotonic_ns() + wait_ns;
    enum refusal refusal;
    memmove(bytes, bytes + taken, length - taken);
    length -= taken;
    taken = 0;
    do {
        cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);
        clock_follow();
        ssize_t received = recv(peer_fd, bytes + length, sizeof(bytes) - length, MSG_DONTWAIT);
        length += received > 0 ? (size_t)received : 0;
        int frame_length = frame_decode_stream(bytes, length, ret_frame, &refusal);
        if (frame_length > 0) {
            taken = (size_t)frame_length;
            return true;
        }
    } while (clock_monotonic_ns() < until_ns);
    return false;
}

Test(subscribers, another_region_is_refused)
{
    struct frame frame;
    struct wire_error error;
    enum refusal refusal;
    subscribers_release(subscribers);
    subscribe(2, 0);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(wire_error_decode(&frame, &error, &refusal), 0);
    cr_assert_eq(error.code, WIRE_ERROR_WRONG_REGION);
    cr_assert_not(frame_next(&frame, 50 * NS_PER_MS));
}

Test(subscribers, nonsense_ends_the_connection)
{
    char byte;
    cr_assert_eq(send(peer_fd, "GET / HTTP/1.1\r\n\r\n    ", 22, 0), 22);
    run_for(100 * NS_PER_MS);
    cr_assert_eq(recv(peer_fd, &byte, 1, MSG_DONTWAIT), 0);
}

Test(subscribers, frame_that_never_ends_is_not_waited_for)
{
    char byte;
    uint8_t request[SUBSCRIBE_BYTES];
    struct wire_subscribe subscribe = {.subscriber = fixture_address(200), .boot_id = 42, .region = 1};
    int request_length = wire_subscribe_encode(&subscribe, 9, request, sizeof(request));
    cr_assert_eq(send(peer_fd, request, (size_t)request_length - 1, 0), request_length - 1);
    run_for(2 * PATIENCE_NS);
    cr_assert_leq(recv(peer_fd, &byte, 1, MSG_DONTWAIT), 0);
    cr_assert_eq(subscribers_count(subscribers), 0);
    cr_assert_eq(counter_read(&counters, COUNTER_SUBSCRIBERS_TOO_SLOW), 1);
}

Test(subscribers, silence_between_frames_is_nobodys_fault)
{
    struct frame frame;
    subscribers_release(subscribers);
    subscribe(1, 0);
    run_for(2 * PATIENCE_NS);
    cr_assert_eq(subscribers_count(subscribers), 1);
    cr_assert(frame_next(&frame, WAIT_NS));
}

Test(subscribers, list_is_held_back_until_redis_has_been_read)
{
    struct frame frame;
    fixture_beat(fixture, 1, 1);
    subscribe(1, 0);
    cr_assert_not(frame_next(&frame, 50 * NS_PER_MS));
    subscribers_release(subscribers);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(frame.type, FRAME_TYPE_DIRECTORY);
}

Test(subscribers, who_has_a_list_gets_none_that_may_be_a_part)
{
    struct frame frame;
    uint64_t began_ns = clock_monotonic_ns();
    fixture->cluster->config.valid_ns = NS_PER_S / 2;
    fixture_beat(fixture, 1, 1);
    subscribers_release(subscribers);
    subscribe(1, 99);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(frame.type, FRAME_TYPE_DIRECTORY);
    cr_assert_geq(clock_monotonic_ns() - began_ns, NS_PER_S * 4 / 10);
}

Test(subscribers, who_has_our_own_list_is_told_at_once)
{
    struct frame frame;
    fixture_beat(fixture, 1, 1);
    subscribers_release(subscribers);
    subscribe_with(1, (struct wire_version){.rm_id = 77, .epoch = 5, .sequence = 1});
    cr_assert(frame_next(&frame, NS_PER_S));
    cr_assert_eq(frame.type, FRAME_TYPE_DELTA);
}

/* SIGSTOP and SIGCONT, as rm sees them: a dispatcher comes before anything else has happened. */
Test(subscribers, rm_that_stood_still_holds_its_list_back)
{
    struct frame frame;
    fixture->cluster->config.valid_ns = NS_PER_S / 2;
    fixture_beat(fixture, 1, 1);
    fixture->cluster->started_ns -= 60 * NS_PER_S;
    fixture->cluster->swept_ns = loop_now_ns(loop) - 10 * NS_PER_S;
    subscribers_release(subscribers);
    subscribe(1, 99);
    cr_assert_not(frame_next(&frame, NS_PER_S / 10));
    (void)cluster_sweep(fixture->cluster, fixture->now);
    cr_assert_eq(fixture->events[CLUSTER_RESUMED], 1);
    cr_assert_not(frame_next(&frame, NS_PER_S / 10));
    for (uint32_t i = 0; i < 20 && !frame_next(&frame, NS_PER_S / 20); i++)
        (void)cluster_sweep(fixture->cluster, fixture->now);
    cr_assert_eq(frame.type, FRAME_TYPE_DIRECTORY);
}

Test(subscribers, who_says_nothing_for_minutes_is_gone)
{
    struct frame frame;
    char byte;
    subscribers_release(subscribers);
    fixture_beat(fixture, 1, 1);
    subscribe(1, 0);
    cr_assert(frame_next(&frame, WAIT_NS));
    clock_offset_ns += 119 * NS_PER_S;
    run_for(PATIENCE_NS / 2);
    cr_assert_eq(subscribers_count(subscribers), 1);
    clock_offset_ns += 2 * NS_PER_S;
    run_for(PATIENCE_NS / 2);
    cr_assert_eq(subscribers_count(subscribers), 0);
    cr_assert_leq(recv(peer_fd, &byte, 1, MSG_DONTWAIT), 0);
    cr_assert_eq(counter_read(&counters, COUNTER_SUBSCRIBERS_TOO_SLOW), 1);
}

Test(subscribers, changes_are_pushed_within_10_ms)
{
    struct frame frame;
    subscribers_release(subscribers);
    fixture_beat(fixture, 1, 1);
    subscribe(1, 0);
    cr_assert(frame_next(&frame, WAIT_NS));
    uint64_t shortest_ns = UINT64_MAX;
    for (uint32_t i = 2; i < 10; i++) { /* of which one at least finds the machine awake */
        fixture_beat(fixture, 1, (float)i);
        subscribers_notify(subscribers);
        uint64_t began_ns = clock_monotonic_ns();
        cr_assert(frame_next(&frame, WAIT_NS));
        cr_assert_eq(frame.type, FRAME_TYPE_DELTA);
        uint64_t took_ns = clock_monotonic_ns() - began_ns;
        shortest_ns = took_ns < shortest_ns ? took_ns : shortest_ns;
    }
    cr_assert_lt(shortest_ns, 12 * NS_PER_MS, "10 ms, and 2 for the way");
}

Test(subscribers, region_table_goes_to_who_has_another)
{
    struct frame frame;
    struct region_table *table;
    struct conf_error error;
    static const char text[] = "region 1 127.0.0.1:7400\nclient 127.0.0.0/24 1\n";
    cr_assert_eq(regions_parse("regions", text, sizeof(text) - 1, &table, &error), 0);
    subscribers_release(subscribers);
    cr_assert_eq(subscribers_set_regions(subscribers, table), 0);
    subscribe(1, 0);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(frame.type, FRAME_TYPE_REGION_TABLE);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(frame.type, FRAME_TYPE_DIRECTORY);
    subscribe(1, 0);
    cr_assert(frame_next(&frame, WAIT_NS));
    cr_assert_eq(frame.type, FRAME_TYPE_DIRECTORY, "SUBSCRIBE said version 0, but it was sent on this connection");
    region_table_free(table);
}

/* 200,000 changes of 1,000 nodes, 16 MB of deltas, and nobody reads: when the kernel's buffer is full too, what waits stays below the
 * stream's limit, and the reader ends up right. */
Test(subscribers, slow_reader_costs_no_memory)
{
    struct frame frame;
    enum refusal refusal;
    subscribers_release(subscribers);
    subscribe(1, 0);
    run_for(50 * NS_PER_MS);
    for (uint32_t i = 0; i < 200000; i++) {
        fixture_beat(fixture, i % 1000, (float)i);
        if (i % 1000 == 0) {
            subscribers_notify(subscribers);
            run_for(6 * NS_PER_MS);
        }
    }
    json_t *rows = json_array();
    subscribers_list(subscribers, rows);
    json_int_t pending = json_integer_value(json_object_get(json_array_get(rows, 0), "pending_bytes"));
    cr_assert_gt(pending, 0);
    cr_assert_lt(pending, 512 * 1024);
    json_decref(rows);
    uint64_t sequence = 0;
    while (sequence < fixture->cluster->sequence && frame_next(&frame, WAIT_NS)) {
        struct wire_delta delta;
        struct wire_nodes nodes;
        if (frame.type == FRAME_TYPE_DELTA && wire_delta_decode(&frame, &delta, &nodes, &refusal) == 0)
            sequence = delta.sequence;
    }
    cr_assert_eq(sequence, fixture->cluster->sequence);
}
