/* Answers to connections are written in runs: each connection gets its own, however the requests of several stand in the queue. */
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/unit/dispatcher/fixture.h"

enum { REQUEST_BYTES = 44 };

static struct answers answers[3];

static void ask(struct bench *bench, int client, uint64_t request_id, uint32_t queued)
{
    uint8_t bytes[REQUEST_BYTES];
    request_write(bytes, request_id, 1, REQUEST_BYTES);
    cr_assert_eq(send(client, bytes, sizeof(bytes), MSG_NOSIGNAL), (ssize_t)sizeof(bytes));
    bench_fill(bench, queued);
}

TEST_BOTH(core_runs, a_client_that_has_gone_takes_nothing_from_those_around_it)
{
    int clients[3];
    for (uint32_t i = 0; i < 3; i++)
        clients[i] = bench_client(bench, SOCK_STREAM);
    bench_hold(bench, true);
    for (uint32_t round = 0; round < 10; round++)
        for (uint32_t i = 0; i < 3; i++)
            ask(bench, clients[i], round, round * 3 + i + 1);
    close(clients[1]);
    while (core_connections(bench->core) > 2)
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    bench_hold(bench, false);
    for (uint32_t round = 0; round < 10; round++) {
        expect_address(&answers[0], bench, clients[0], round);
        expect_address(&answers[2], bench, clients[2], round);
    }
    close(clients[0]);
    close(clients[2]);
}

TEST_BOTH(core_runs, clients_and_datagrams_in_turn_get_their_own_answers)
{
    int clients[3] = {bench_client(bench, SOCK_STREAM), bench_client(bench, SOCK_DGRAM), bench_client(bench, SOCK_STREAM)};
    bench_hold(bench, true);
    for (uint32_t round = 0; round < 10; round++)
        for (uint32_t i = 0; i < 3; i++)
            ask(bench, clients[i], 100 * i + round, round * 3 + i + 1);
    bench_hold(bench, false);
    for (uint32_t round = 0; round < 10; round++)
        for (uint32_t i = 0; i < 3; i++)
            expect_address(&answers[i], bench, clients[i], 100 * i + round);
    for (uint32_t i = 0; i < 3; i++)
        close(clients[i]);
}

TEST_BOTH(core_runs, unusual_requests_between_usual_ones_are_answered_in_their_turn)
{
    int client = bench_client(bench, SOCK_STREAM);
    uint8_t bytes[BENCH_QUEUE * REQUEST_BYTES];
    uint32_t length = 0;
    for (uint32_t i = 0; i < BENCH_QUEUE; i++)
        length += request_write(bytes + length, i, i % 5 == 3 ? 2 : 1, 0);
    cr_assert_eq(send(client, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
    for (uint32_t i = 0; i < BENCH_QUEUE; i++) {
        expect_address(&answers[0], bench, client, i);
        cr_assert_eq(answers[0].frame.length, wire_address_bytes(i % 5 == 3 ? 2 : 1, ADDRESS_IPV4));
    }
    cr_assert_eq(bench_counter(bench, COUNTER_PICKS_OK), BENCH_QUEUE);
    close(client);
}

/* Thousands of them cost nobody anything. */
TEST_BOTH(core_runs, idle_connections_are_not_looked_at)
{
    int client = bench_client(bench, SOCK_STREAM);
    while (core_connections(bench->core) == 0)
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    cr_expect(!timer_is_running(&bench->core->look), "one that has not said anything");
    bench_hold(bench, true);
    ask(bench, client, 1, 1);
    cr_expect(timer_is_running(&bench->core->look));
    core_on_look(bench->core, &bench->core->look);
    cr_expect(!list_is_empty(&bench->core->connections.watched), "it waits for its answer");
    bench_hold(bench, false);
    expect_address(&answers[0], bench, client, 1);
    bench_run_batches(bench);
    core_on_look(bench->core, &bench->core->look);
    cr_expect(list_is_empty(&bench->core->connections.watched));
    close(client);
}
