/* rm's UDP side on a real loop: what a node gets back. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "rm/reception.h"
#include "tests/unit/rm/fixture.h"

#define ANSWER_WAIT_NS (200 * NS_PER_MS)

static struct loop *loop;
static struct fixture *fixture;
static struct reception *reception;
static struct counters counters;
static uint32_t changes;
static int node_fd;
static uint8_t request[DATAGRAM_BYTES_MAX];
static uint8_t answer[2048];
static size_t answer_length;

static void on_change(void *ctx)
{
    (void)ctx;
    changes++;
}

static void setup(void)
{
    struct loop_config config;
    struct sockaddr_storage address;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    fixture = fixture_new(false);
    struct reception_config own = {.loop = loop,
                                   .listen = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}},
                                   .cluster = fixture->cluster,
                                   .counters = &counters,
                                   .rm_id = 77,
                                   .boot_id = 78,
                                   .nonce = 5,
                                   .region = 3,
                                   .on_change = on_change};
    cr_assert_eq(reception_new(&own, &reception), 0);
    struct address listen = reception_address(reception);
    socklen_t length = address_to_socket(&listen, &address);
    node_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert_geq(node_fd, 0);
    cr_assert_eq(connect(node_fd, (const struct sockaddr *)&address, length), 0);
}

static void teardown(void)
{
    close(node_fd);
    reception_free(reception);
    loop_free(loop);
    fixture_free(fixture);
}

TestSuite(reception, .init = setup, .fini = teardown, .timeout = 30);

/* Sends the request; whether an answer came. */
static bool exchange(size_t length)
{
    uint64_t until_ns = clock_monotonic_ns() + ANSWER_WAIT_NS;
    answer_length = 0;
    cr_assert_eq(send(node_fd, request, length, 0), (ssize_t)length);
    while (clock_monotonic_ns() < until_ns) {
        cr_assert_eq(loop_run_once(loop, 5 * NS_PER_MS), 0);
        ssize_t received = recv(node_fd, answer, sizeof(answer), 0);
        if (received >= 0) {
            answer_length = (size_t)received;
            cr_assert_leq(answer_length, length, "no answer is longer than its request");
            return true;
        }
    }
    return false;
}

static uint16_t answer_type(struct frame *ret_frame)
{
    enum refusal refusal;
    cr_assert_eq(frame_decode_datagram(answer, answer_length, ret_frame, &refusal), (int)answer_length);
    return ret_frame->type;
}

static uint16_t answer_error_code(void)
{
    struct frame frame;
    struct wire_error error;
    enum refusal refusal;
    cr_assert_eq(answer_type(&frame), FRAME_TYPE_ERROR);
    cr_assert_eq(wire_error_decode(&frame, &error, &refusal), 0);
    return error.code;
}

static size_t heartbeat_write(const struct wire_heartbeat *heartbeat, uint32_t padded_length)
{
    int length = wire_heartbeat_encode(heartbeat, 9, padded_length, request, sizeof(request));
    cr_assert_gt(length, 0);
    return (size_t)length;
}

Test(reception, garbage_gets_no_answer)
{
    memset(request, 0xee, 100);
    cr_assert_not(exchange(100));
    cr_assert_eq(counter_read(&counters, COUNTER_MALFORMED_BAD_MAGIC), 1);
}

Test(reception, replies_get_no_answer)
{
    struct wire_heartbeat_ack ack = {.rm_id = 1, .trailer = {.boot_id = 1, .sequence = 1}};
    int length = wire_heartbeat_ack_encode(&ack, 1, request, sizeof(request));
    cr_assert_gt(length, 0);
    cr_assert_not(exchange((size_t)length));
    length = wire_error_encode(WIRE_ERROR_MALFORMED, false, false, NULL, 1, request, sizeof(request));
    cr_assert_gt(length, 0);
    cr_assert_not(exchange((size_t)length));
}

Test(reception, replay_gets_no_answer)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    size_t length = heartbeat_write(&heartbeat, 200);
    cr_assert(exchange(length));
    cr_assert_not(exchange(length));
    cr_assert_eq(counter_read(&counters, COUNTER_HEARTBEATS_REPLAYED), 1);
}

Test(reception, truncated_heartbeat_is_refused_and_counted)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    size_t length = heartbeat_write(&heartbeat, 0);
    cr_assert(exchange(length - 1));
    cr_assert_eq(answer_error_code(), WIRE_ERROR_MALFORMED);
    cr_assert_eq(counter_read(&counters, COUNTER_MALFORMED_BAD_LENGTH), 1);
    cr_assert_eq(fixture->cluster->node_count, 0);
}

Test(reception, address_request_is_not_accepted_here)
{
    struct wire_address_request ask = {.service_id = 1, .count = 1};
    int length = wire_address_request_encode(&ask, 4, 100, request, sizeof(request));
    cr_assert(exchange((size_t)length));
    cr_assert_eq(answer_error_code(), WIRE_ERROR_NOT_ACCEPTED_HERE);
}

Test(reception, unknown_major_version_gets_one_error)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    size_t length = heartbeat_write(&heartbeat, 0);
    request[2] = WIRE_MAJOR + 1;
    cr_assert(exchange(length));
    cr_assert_eq(answer_error_code(), WIRE_ERROR_UNSUPPORTED_VERSION);
}

Test(reception, heartbeat_is_acknowledged)
{
    struct frame frame;
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.kind = WIRE_NODE_DISPATCHER;
    cr_assert(exchange(heartbeat_write(&heartbeat, 200)));
    cr_assert_eq(answer_type(&frame), FRAME_TYPE_HEARTBEAT_ACK);
    cr_assert_eq(wire_heartbeat_ack_decode(&frame, &ack, &refusal), 0);
    cr_assert_eq(ack.rm_id, 77);
    cr_assert_eq(ack.nonce, 5);
    cr_assert_eq(ack.trailer.boot_id, 78, "of this start: its sequences begin with it");
    cr_assert_eq(ack.trailer.sequence, 1);
    cr_assert_eq(ack.region, 3);
    cr_assert_eq(ack.flags, WIRE_ACK_REGISTER_WANTED);
    cr_assert_eq(ack.acked_sequence, heartbeat.trailer.sequence);
    cr_assert_eq(ack.dispatcher_total, 1);
    cr_assert_eq(ack.dispatcher_count, 1);
    cr_assert(address_equal(&ack.dispatchers[0].address, &heartbeat.node));
    cr_assert_eq(ack.dispatchers[0].boot_id, heartbeat.trailer.boot_id);
    cr_assert_eq(ack.node_total, 1);
    cr_assert_eq(changes, 1);
}

Test(reception, acknowledgement_carries_the_operators_word)
{
    struct frame frame;
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    struct address address = fixture_address(1);
    fixture_beat(fixture, 1, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    cr_assert(exchange(heartbeat_write(&heartbeat, 0)));
    cr_assert_eq(answer_type(&frame), FRAME_TYPE_HEARTBEAT_ACK);
    cr_assert_eq(wire_heartbeat_ack_decode(&frame, &ack, &refusal), 0);
    cr_assert_eq(ack.admin.flags, WIRE_ADMIN_DRAIN);
    cr_assert_eq(ack.admin.writer_rm_id, 77);
}

Test(reception, many_frames_of_one_datagram_get_one_datagram)
{
    enum { FRAMES = 36, FRAME_BYTES = 34 };
    struct wire_address_request ask = {.service_id = 1, .count = 1};
    struct frame frame;
    enum refusal refusal;
    uint64_t answers = 0;
    for (uint32_t i = 0; i < FRAMES; i++)
        cr_assert_eq(wire_address_request_encode(&ask, i, 0, request + i * FRAME_BYTES, FRAME_BYTES), FRAME_BYTES);
    cr_assert(exchange(FRAMES * FRAME_BYTES));
    for (size_t at = 0; at < answer_length; at += frame.length, answers++) {
        cr_assert_gt(frame_decode_datagram(answer + at, answer_length - at, &frame, &refusal), 0);
        cr_expect_eq(frame.request_id, answers);
    }
    cr_expect_eq(answers, FRAMES);
    cr_expect_lt(recv(node_fd, answer, sizeof(answer), 0), 0);
}

Test(reception, heartbeats_of_one_datagram_are_acknowledged_in_one)
{
    struct wire_heartbeat heartbeats[2] = {fixture_heartbeat(fixture, 1, 1), fixture_heartbeat(fixture, 2, 1)};
    struct frame frame;
    enum refusal refusal;
    size_t length = 0;
    for (uint32_t i = 0; i < 2; i++) {
        int used = wire_heartbeat_encode(&heartbeats[i], i, 200, request + length, sizeof(request) - length);
        cr_assert_gt(used, 0);
        length += (size_t)used;
    }
    cr_assert(exchange(length));
    int first = frame_decode_datagram(answer, answer_length, &frame, &refusal);
    cr_assert_gt(first, 0);
    cr_expect_eq(frame.type, FRAME_TYPE_HEARTBEAT_ACK);
    cr_assert_eq(frame_decode_datagram(answer + first, answer_length - (size_t)first, &frame, &refusal),
                 (int)answer_length - first);
    cr_expect_eq(frame.type, FRAME_TYPE_HEARTBEAT_ACK);
    cr_expect_eq(frame.request_id, 1);
}

Test(reception, many_dispatchers_are_told_in_turn)
{
    bool told[256] = {false};
    for (uint32_t i = 0; i < 200; i++) {
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, i, 1);
        uint32_t slot;
        heartbeat.kind = WIRE_NODE_DISPATCHER;
        cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    }
    for (uint32_t i = 0; i < 200; i++) {
        struct frame frame;
        struct wire_heartbeat_ack ack;
        enum refusal refusal;
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 200, 1);
        cr_assert(exchange(heartbeat_write(&heartbeat, 0)));
        cr_assert_eq(answer_type(&frame), FRAME_TYPE_HEARTBEAT_ACK);
        cr_assert_eq(wire_heartbeat_ack_decode(&frame, &ack, &refusal), 0);
        cr_assert_eq(ack.dispatcher_total, 200);
        cr_assert_gt(ack.dispatcher_count, 0);
        for (uint32_t j = 0; j < ack.dispatcher_count; j++)
            told[ack.dispatchers[j].address.ip[3]] = true;
    }
    for (uint32_t i = 0; i < 200; i++)
        cr_assert(told[i], "dispatcher %u", i);
}
