/* Datagrams of one client that the kernel has joined (GRO): each is answered by one of its own, joined again, as if it had come alone. */
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/dispatcher/fixture.h"

enum { REQUEST_BYTES = 44, SEGMENT_BYTES = 2 * REQUEST_BYTES, SEGMENTS = 10 };

static struct answers answers;
static uint8_t sent[SEGMENTS * SEGMENT_BYTES];

/* Its datagrams leave joined; what it receives is cut apart again unless `joins`. */
static int joining_client(struct bench *bench, bool joins)
{
    int client = bench_client(bench, SOCK_DGRAM);
    int segment_bytes = SEGMENT_BYTES, one = 1;
    cr_assert_eq(setsockopt(client, SOL_UDP, UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes)), 0);
    if (joins)
        cr_assert_eq(setsockopt(client, SOL_UDP, UDP_GRO, &one, sizeof(one)), 0);
    return client;
}

/* Two requests in each, numbered through from 0. */
static void requests_write(void)
{
    for (uint32_t i = 0; i < 2 * SEGMENTS; i++)
        request_write(sent + i * REQUEST_BYTES, i, 1, REQUEST_BYTES);
}

static size_t datagram_read(struct bench *bench, int client)
{
    ssize_t length = client_read(bench, client, answers.bytes, sizeof(answers.bytes));
    cr_assert_geq(length, 0);
    answers.length = (size_t)length;
    answers.used = 0;
    return answers.length;
}

static void expect_two(struct bench *bench, int client, uint32_t segment)
{
    cr_assert_eq(datagram_read(bench, client), SEGMENT_BYTES);
    expect_address(&answers, bench, client, 2 * segment);
    expect_address(&answers, bench, client, 2 * segment + 1);
}

TEST_BOTH(core_joined, what_is_broken_in_one_does_not_harm_the_others)
{
    int client = joining_client(bench, false);
    requests_write();
    sent[3 * SEGMENT_BYTES] = 0; /* no magic: the whole datagram is nobody's */
    sent[5 * SEGMENT_BYTES + REQUEST_BYTES + 2] = 9; /* another major version, behind a good request */
    sent[9 * SEGMENT_BYTES + REQUEST_BYTES + 11] += 1; /* the last one is longer than what came */
    cr_assert_eq(send(client, sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
    for (uint32_t i = 0; i < SEGMENTS - 1; i++) {
        if (i == 3)
            continue;
        if (i != 5) {
            expect_two(bench, client, i);
            continue;
        }
        cr_assert_leq(datagram_read(bench, client), SEGMENT_BYTES);
        expect_address(&answers, bench, client, 10);
        expect_error(&answers, bench, client, 11, WIRE_ERROR_UNSUPPORTED_VERSION);
    }
    cr_assert_leq(datagram_read(bench, client), SEGMENT_BYTES);
    expect_address(&answers, bench, client, 18);
    expect_error(&answers, bench, client, 19, WIRE_ERROR_MALFORMED);
    close(client);
}

TEST_BOTH(core_joined, those_that_find_the_queue_full_are_refused_one_by_one)
{
    int client = joining_client(bench, false);
    requests_write();
    bench_hold(bench, true);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(send(client, sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
    bench_run_until(bench, COUNTER_REQUESTS_QUEUE_FULL, 4 * 2 * SEGMENTS - BENCH_QUEUE);
    cr_assert_leq(datagram_read(bench, client), SEGMENT_BYTES);
    expect_error(&answers, bench, client, BENCH_QUEUE % (2 * SEGMENTS), WIRE_ERROR_QUEUE_FULL);
    close(client);
}

TEST_BOTH(core_joined, the_last_may_be_shorter)
{
    int client = joining_client(bench, false);
    requests_write();
    cr_assert_eq(send(client, sent, SEGMENT_BYTES + REQUEST_BYTES, 0), SEGMENT_BYTES + REQUEST_BYTES);
    expect_two(bench, client, 0);
    cr_assert_eq(datagram_read(bench, client), REQUEST_BYTES);
    expect_address(&answers, bench, client, 2);
    close(client);
}

TEST_BOTH(core_joined, answers_leave_joined)
{
    int client = joining_client(bench, true);
    requests_write();
    cr_assert_eq(send(client, sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
    cr_expect_eq(datagram_read(bench, client), sizeof(sent));
    for (uint32_t i = 0; i < 2 * SEGMENTS; i++)
        expect_address(&answers, bench, client, i);
    cr_expect_eq(loop_stats(bench->core->loop)->datagrams_received, SEGMENTS);
    cr_expect_eq(loop_stats(bench->core->loop)->datagrams_sent, SEGMENTS);
    close(client);
}
