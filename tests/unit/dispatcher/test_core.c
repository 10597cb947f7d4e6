/* A core answers datagrams over real sockets: what it answers, what it refuses, and what it passes over in silence. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/wire/service.h"
#include "tests/unit/dispatcher/fixture.h"

enum { REQUEST_BYTES = 44, PACKED = 28, PACKED_BYTES = PACKED * REQUEST_BYTES };
_Static_assert(PACKED_BYTES <= DATAGRAM_BYTES_MAX, "28 requests fit into a datagram");

static struct answers answers;
static uint8_t sent[DATAGRAM_BYTES_MAX * 2];

static void client_send(int client, const void *bytes, size_t length)
{
    cr_assert_eq(send(client, bytes, length, 0), (ssize_t)length);
}

static void request_send(int client, uint64_t request_id)
{
    client_send(client, sent, request_write(sent, request_id, 1, REQUEST_BYTES));
}

static uint32_t packed_write(uint64_t first_id)
{
    for (uint32_t i = 0; i < PACKED; i++)
        request_write(sent + i * REQUEST_BYTES, first_id + i, 1, REQUEST_BYTES);
    return PACKED_BYTES;
}

/* One datagram, whole; its length. */
static size_t datagram_read(struct bench *bench, int client)
{
    ssize_t length = client_read(bench, client, answers.bytes, sizeof(answers.bytes));
    cr_assert_geq(length, 0);
    answers.length = (size_t)length;
    answers.used = 0;
    return answers.length;
}

/* What was sent before got no answer: that to this request is the first to come. */
static void expect_silence_so_far(struct bench *bench, int client)
{
    request_send(client, 999);
    datagram_read(bench, client);
    expect_address(&answers, bench, client, 999);
    cr_expect_eq(answers.used, answers.length);
}

TEST_BOTH(core_udp, an_empty_datagram_is_counted_and_nothing_else)
{
    int client = bench_client(bench, SOCK_DGRAM);
    client_send(client, sent, 0);
    expect_silence_so_far(bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_SHORT_HEADER), 1);
    close(client);
}

TEST_BOTH(core_udp, garbage_is_never_answered)
{
    struct random_state random;
    int client = bench_client(bench, SOCK_DGRAM);
    random_init(&random, 1);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t length = 1 + random_below(&random, DATAGRAM_BYTES_MAX);
        for (uint32_t i = 0; i < length; i++)
            sent[i] = (uint8_t)random_next(&random);
        sent[0] = 0; /* not the magic */
        client_send(client, sent, length);
        bench_run_batches(bench);
    }
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_udp, replies_are_never_answered)
{
    static const uint16_t types[] = {FRAME_TYPE_ADDRESS, FRAME_TYPE_LOCATION, FRAME_TYPE_ERROR, FRAME_TYPE_DIRECTORY, 0x8ffe};
    int client = bench_client(bench, SOCK_DGRAM);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        client_send(client, sent, frame_write(sent, types[i], 1, 200));
    frame_write(sent, FRAME_TYPE_ERROR, 1, 200);
    sent[2] = 9; /* of a version that we don't speak */
    client_send(client, sent, 200);
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_udp, a_datagram_longer_than_any_may_be_is_dropped)
{
    int client = bench_client(bench, SOCK_DGRAM);
    packed_write(1);
    memset(sent + PACKED_BYTES, 0, DATAGRAM_BYTES_MAX + 1 - PACKED_BYTES);
    client_send(client, sent, DATAGRAM_BYTES_MAX + 1);
    expect_silence_so_far(bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_TOO_LARGE), 1);
    close(client);
}

TEST_BOTH(core_udp, a_type_it_does_not_know_is_passed_over)
{
    int client = bench_client(bench, SOCK_DGRAM);
    uint32_t length = request_write(sent, 1, 1, REQUEST_BYTES);
    length += frame_write(sent + length, 0x000e, 2, 60);
    length += request_write(sent + length, 3, 1, REQUEST_BYTES);
    client_send(client, sent, length);
    cr_expect_eq(datagram_read(bench, client), 2 * REQUEST_BYTES);
    expect_address(&answers, bench, client, 1);
    expect_address(&answers, bench, client, 3);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_UNKNOWN_TYPE), 1);
    close(client);
}

TEST_BOTH(core_udp, an_unknown_major_version_gets_one_error_no_longer_than_it)
{
    static const uint32_t lengths[] = {24, 44, 200};
    int client = bench_client(bench, SOCK_DGRAM);
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        frame_write(sent, FRAME_TYPE_ADDRESS_REQUEST, 7, lengths[i]);
        sent[2] = 2;
        client_send(client, sent, lengths[i]);
        cr_expect_leq(datagram_read(bench, client), lengths[i]);
        expect_error(&answers, bench, client, 7, WIRE_ERROR_UNSUPPORTED_VERSION);
    }
    frame_write(sent, FRAME_TYPE_ADDRESS_REQUEST, 7, 20);
    sent[2] = 2;
    client_send(client, sent, 20);
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_udp, a_request_too_short_for_an_address_is_sent_to_tcp)
{
    int client = bench_client(bench, SOCK_DGRAM);
    client_send(client, sent, request_write(sent, 1, 1, 0));
    cr_expect_leq(datagram_read(bench, client), 34u);
    expect_error(&answers, bench, client, 1, WIRE_ERROR_TOO_LARGE);
    cr_expect(answers.frame.flags & FRAME_TRUNCATED);
    for (uint32_t i = 0; i < BENCH_NODES; i++)
        cr_expect_eq(atomic_load(&bench->values[i].picks), 0, "nobody was sent there");
    close(client);
}

TEST_BOTH(core_udp, addresses_that_did_not_fit_do_not_count_as_picks)
{
    int client = bench_client(bench, SOCK_DGRAM);
    uint32_t picks = 0;
    client_send(client, sent, request_write(sent, 1, 16, REQUEST_BYTES + 8));
    cr_expect_eq(datagram_read(bench, client), REQUEST_BYTES + 8u);
    expect_address(&answers, bench, client, 1);
    cr_expect(answers.frame.flags & FRAME_TRUNCATED);
    for (uint32_t i = 0; i < BENCH_NODES; i++)
        picks += atomic_load(&bench->values[i].picks);
    cr_expect_eq(picks, 2);
    close(client);
}

TEST_BOTH(core_udp, broken_requests_of_one_datagram_get_one_datagram)
{
    int client = bench_client(bench, SOCK_DGRAM);
    packed_write(0);
    for (uint32_t i = 0; i < PACKED; i += 2)
        sent[i * REQUEST_BYTES + 32] = 0; /* asks for no address */
    client_send(client, sent, PACKED_BYTES);
    cr_expect_leq(datagram_read(bench, client), PACKED_BYTES);
    for (uint32_t i = 0; i < PACKED; i++) {
        if (i % 2 == 0)
            expect_error(&answers, bench, client, i, WIRE_ERROR_MALFORMED);
        else
            expect_address(&answers, bench, client, i);
    }
    cr_expect_eq(answers.used, answers.length);
    expect_silence_so_far(bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_BAD_COUNT), PACKED / 2);
    close(client);
}

TEST_BOTH(core_udp, what_is_broken_at_its_end_keeps_the_answers_before)
{
    int client = bench_client(bench, SOCK_DGRAM);
    uint32_t length = request_write(sent, 1, 1, REQUEST_BYTES);
    length += request_write(sent + length, 2, 1, REQUEST_BYTES) - 1;
    client_send(client, sent, length);
    cr_expect_leq(datagram_read(bench, client), length);
    expect_address(&answers, bench, client, 1);
    expect_error(&answers, bench, client, 2, WIRE_ERROR_MALFORMED);
    close(client);
}

TEST_BOTH(core_udp, jobs_and_heartbeats_are_not_accepted_here)
{
    static const uint16_t types[] = {FRAME_TYPE_JOB, FRAME_TYPE_HEARTBEAT, FRAME_TYPE_REGISTER, FRAME_TYPE_SUBSCRIBE};
    int client = bench_client(bench, SOCK_DGRAM);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        client_send(client, sent, frame_write(sent, types[i], i, 200));
        cr_expect_leq(datagram_read(bench, client), 200u);
        expect_error(&answers, bench, client, i, WIRE_ERROR_NOT_ACCEPTED_HERE);
    }
    close(client);
}

TEST_BOTH(core_udp, an_idle_token_is_never_answered_whole_or_broken)
{
    int client = bench_client(bench, SOCK_DGRAM);
    client_send(client, sent, frame_write(sent, FRAME_TYPE_IDLE_TOKEN, 1, 200));
    frame_write(sent, FRAME_TYPE_IDLE_TOKEN, 2, 200);
    sent[6] = 0x10; /* a flag that it does not have */
    client_send(client, sent, 200);
    client_send(client, sent, frame_write(sent, FRAME_TYPE_IDLE_TOKEN, 3, 30)); /* no room for a trailer */
    frame_write(sent, FRAME_TYPE_IDLE_TOKEN, 4, 200);
    sent[2] = 9; /* of a version that we don't speak */
    client_send(client, sent, 200);
    expect_silence_so_far(bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_FRAMES_UNWANTED), 1);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_BAD_FLAGS), 1);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_SHORT_TRAILER), 1);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_VERSION), 1);
    close(client);
}

TEST_BOTH(core_udp, an_unknown_service_is_told_by_name)
{
    struct wire_address_request request = {.service_id = BENCH_SERVICE + 1, .count = 1};
    int client = bench_client(bench, SOCK_DGRAM);
    int length = wire_address_request_encode(&request, 1, 0, sent, sizeof(sent));
    cr_assert_gt(length, 0);
    client_send(client, sent, (size_t)length);
    cr_expect_leq(datagram_read(bench, client), (size_t)length);
    expect_error(&answers, bench, client, 1, WIRE_ERROR_NO_SERVICE);
    close(client);
}

TEST_BOTH(core_udp, packed_requests_are_answered_in_order_in_one_datagram)
{
    int client = bench_client(bench, SOCK_DGRAM);
    client_send(client, sent, packed_write(100));
    cr_expect_eq(datagram_read(bench, client), PACKED_BYTES);
    for (uint32_t i = 0; i < PACKED; i++)
        expect_address(&answers, bench, client, 100 + i);
    cr_expect_eq(answers.used, answers.length);
    cr_expect_eq(bench_counter(bench, COUNTER_REQUESTS_UDP), PACKED);
    cr_expect_eq(bench_counter(bench, COUNTER_PICKS_OK), PACKED);
    close(client);
}

TEST_BOTH(core_udp, on_a_wildcard_address_answers_from_the_one_that_was_asked)
{
    struct sockaddr_storage name;
    bench_reopen(bench, "0.0.0.0:0", BENCH_QUEUE, 2);
    struct address asked = *core_address(bench->core);
    memcpy(asked.ip, (const uint8_t[]){127, 0, 0, 9}, 4);
    int client = bench_client(bench, SOCK_DGRAM);
    cr_assert_eq(connect(client, (const struct sockaddr *)&name, address_to_socket(&asked, &name)), 0);
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_udp, answers_on_a_thread_of_its_own)
{
    cr_assert_eq(core_start(bench->core), 0);
    int client = bench_client(bench, SOCK_DGRAM);
    for (uint64_t id = 0; id < 200; id++) {
        request_send(client, id);
        datagram_read(bench, client);
        expect_address(&answers, bench, client, id);
    }
    close(client);
}

TEST_BOTH(core_udp, leaves_out_the_nodes_that_the_client_names)
{
    struct wire_address_request request = {.service_id = BENCH_SERVICE, .count = 16, .exclude_count = 16};
    struct wire_address reply;
    enum refusal refusal;
    int client = bench_client(bench, SOCK_DGRAM);
    for (uint32_t i = 0; i < 16; i++)
        request.excludes[i] = bench_node(i);
    int length = wire_address_request_encode(&request, 1, DATAGRAM_BYTES_MAX, sent, sizeof(sent));
    cr_assert_eq(length, (int)DATAGRAM_BYTES_MAX);
    client_send(client, sent, DATAGRAM_BYTES_MAX);
    datagram_read(bench, client);
    expect_address(&answers, bench, client, 1);
    cr_assert_eq(wire_address_decode(&answers.frame, &reply, &refusal), 0);
    cr_expect_eq(reply.count, BENCH_NODES - 16);
    for (uint32_t i = 0; i < reply.count; i++)
        cr_expect_geq(reply.entries[i].address.port, 7500 + 16);
    close(client);
}

TEST_BOTH(core_udp, answers_over_ipv6)
{
    int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct address loopback;
    struct sockaddr_storage name;
    cr_assert_eq(address_parse("[::1]:0", &loopback), 0);
    socklen_t name_bytes = address_to_socket(&loopback, &name);
    bool allowed = probe >= 0 && bind(probe, (const struct sockaddr *)&name, name_bytes) == 0;
    close(probe);
    if (!allowed)
        return; /* a machine without IPv6 */
    bench_reopen(bench, "[::1]:0", BENCH_QUEUE, 2);
    int client = bench_client(bench, SOCK_DGRAM);
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_udp, a_location_request_gets_the_region_and_as_many_dispatchers_as_fit)
{
    struct wire_location_request request = {.regions_version = 0};
    struct wire_location reply;
    struct wire_region_dispatcher dispatcher;
    enum refusal refusal;
    int client = bench_client(bench, SOCK_DGRAM);
    for (uint32_t room = 0; room <= 2; room++) {
        uint32_t limit = wire_location_bytes(room, ADDRESS_IPV4) + 3;
        cr_assert_eq(wire_location_request_encode(&request, room, limit, sent, sizeof(sent)), (int)limit);
        client_send(client, sent, limit);
        cr_expect_leq(datagram_read(bench, client), limit);
        cr_assert(answers_next(&answers, bench, client));
        cr_assert_eq(wire_location_decode(&answers.frame, &reply, &refusal), 0);
        cr_expect_eq(reply.region, BENCH_REGION);
        cr_expect_eq(reply.dispatcher_total, 2);
        cr_expect_eq(reply.dispatcher_count, room);
        cr_expect_eq(reply.truncated, room < 2);
        for (uint32_t i = 0; i < room; i++)
            cr_expect_eq(wire_location_next(&reply, &dispatcher, &refusal), 1);
        cr_expect_eq(wire_location_next(&reply, &dispatcher, &refusal), 0);
    }
    close(client);
}

TEST_BOTH(core_queue, refuses_at_once_what_finds_it_full)
{
    int client = bench_client(bench, SOCK_DGRAM);
    bench_hold(bench, true);
    client_send(client, sent, packed_write(0));
    client_send(client, sent, packed_write(100));
    client_send(client, sent, packed_write(200)); /* 8 of these fill it */
    client_send(client, sent, packed_write(300));
    bench_run_until(bench, COUNTER_REQUESTS_UDP, 4 * PACKED);
    cr_expect_eq(bench_counter(bench, COUNTER_REQUESTS_QUEUE_FULL), 4 * PACKED - BENCH_QUEUE);
    cr_expect_leq(datagram_read(bench, client), PACKED_BYTES);
    for (uint32_t i = 0; i < PACKED; i++)
        expect_error(&answers, bench, client, 300 + i, WIRE_ERROR_QUEUE_FULL);
    cr_expect_eq(answers.used, answers.length);
    bench_hold(bench, false);
    for (uint32_t datagram = 0; datagram < 3; datagram++) {
        uint32_t count = datagram < 2 ? PACKED : BENCH_QUEUE - 2 * PACKED;
        cr_expect_eq(datagram_read(bench, client), count * REQUEST_BYTES);
        for (uint32_t i = 0; i < count; i++)
            expect_address(&answers, bench, client, datagram * 100 + i);
    }
    expect_silence_so_far(bench, client);
    close(client);
}

TEST_BOTH(core_queue, drops_what_is_older_than_its_clients_wait)
{
    struct wire_address_request request = {.service_id = BENCH_SERVICE, .count = 1, .wait_ms = 1};
    int client = bench_client(bench, SOCK_DGRAM);
    bench_hold(bench, true);
    cr_assert_eq(wire_address_request_encode(&request, 1, REQUEST_BYTES, sent, sizeof(sent)), REQUEST_BYTES);
    request_write(sent + REQUEST_BYTES, 2, 1, REQUEST_BYTES);
    client_send(client, sent, 2 * REQUEST_BYTES);
    bench_fill(bench, 2);
    size_t count;
    struct request *oldest = spsc_queue_peek(&bench->core->queue.items, &count);
    oldest->arrived_ns -= 2 * NS_PER_MS;
    bench_hold(bench, false);
    cr_expect_eq(datagram_read(bench, client), REQUEST_BYTES);
    expect_address(&answers, bench, client, 2);
    cr_expect_eq(bench_counter(bench, COUNTER_REQUESTS_EXPIRED), 1);
    close(client);
}

TEST_BOTH(core_queue, is_answered_in_order_whatever_the_transport)
{
    int udp = bench_client(bench, SOCK_DGRAM);
    int tcp = bench_client(bench, SOCK_STREAM);
    struct spsc_queue *queue = &bench->core->queue.items;
    size_t count;
    bench_hold(bench, true);
    for (uint32_t i = 0; i < 20; i++) {
        request_send(i % 2 ? udp : tcp, i);
        bench_fill(bench, i + 1);
    }
    const struct request *requests = spsc_queue_peek(queue, &count);
    cr_assert_eq(count, 20);
    for (uint32_t i = 0; i < 20; i++)
        cr_expect_eq(requests[i].request_id, i);
    bench_hold(bench, false);
    for (uint32_t i = 1; i < 20; i += 2) {
        datagram_read(bench, udp);
        expect_address(&answers, bench, udp, i);
    }
    answers.length = answers.used = 0;
    for (uint32_t i = 0; i < 20; i += 2)
        expect_address(&answers, bench, tcp, i);
    close(udp);
    close(tcp);
}

TEST_BOTH(core_queue, is_emptied_before_the_sockets_close)
{
    int client = bench_client(bench, SOCK_DGRAM);
    bench_hold(bench, true);
    client_send(client, sent, packed_write(1));
    bench_fill(bench, PACKED);
    core_close_sockets(bench->core);
    bench_run_batches(bench);
    cr_expect_eq(datagram_read(bench, client), PACKED_BYTES);
    bench_hold(bench, false);
    request_send(client, 2);
    cr_expect_lt(recv(client, sent, sizeof(sent), 0), 0, "nobody listens there any more");
    close(client);
}

TEST_BOTH(core_life, a_core_that_was_never_started_stops_and_goes)
{
    core_close_sockets(bench->core);
    core_stop(bench->core);
}

Test(core_life, an_address_that_is_not_ours_is_refused)
{
    struct publication publication;
    struct core_shared shared = {.publication = &publication, .queue_factor = 1};
    struct core_config config = {.shared = &shared, .loop_kind = LOOP_EPOLL, .queue_capacity = 64};
    struct core *core = NULL;
    cr_assert_eq(address_parse("192.0.2.1:0", &config.address), 0);
    cr_expect_lt(core_new(&config, &core), 0);
    cr_expect_null(core);
}
