/* What finish-time is told: reports that come with lists, and idle tokens, from a frame's bytes to the node's values. */
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "dispatcher/directory.h"
#include "dispatcher/placement.h"
#include "tests/unit/dispatcher/fixture.h"

enum { BOOT = 9, JOB_MS = 100 };

static const struct address node = {.family = ADDRESS_IPV4, .port = 7, .ip = {10, 0, 0, 7}};
static const struct address peer = {.family = ADDRESS_IPV4, .port = 6, .ip = {10, 0, 0, 6}};
static const struct address other = {.family = ADDRESS_IPV4, .port = 8, .ip = {10, 0, 0, 8}};

static struct loop *loop;
static struct directory *directory;
static struct placement *placement;
static struct counters control, core;
static uint64_t sequence;

static struct wire_node entry_of(const struct address *address, float jobs)
{
    return (struct wire_node){
        .address = *address,
        .kind = WIRE_NODE_WORKER,
        .boot_id = BOOT,
        .slots = 1,
        .jobs_running = (uint32_t)jobs,
        .service_count = 1,
        .services = {{.service_id = BENCH_SERVICE, .work_s = jobs * JOB_MS / 1000, .rate = 1000.0f / JOB_MS}}};
}

/* more: nobody is missed yet. */
static void part_comes(const struct wire_node entries[], uint32_t count, bool more)
{
    static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = {.rm_id = 1, .sequence = ++sequence}, .node_total = count, .first = true};
    struct frame frame;
    enum refusal refusal;
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(wire_nodes_add(&builder, &entries[i]), 0);
    int length = wire_nodes_finish(&builder, more);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(directory_take(directory, &frame, loop_now_ns(loop), &refusal), 0);
}

static void list_comes(const struct wire_node entries[], uint32_t count)
{
    part_comes(entries, count, true);
}

static void entry_comes(struct wire_node entry)
{
    list_comes(&entry, 1);
}

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_eq(directory_new(BENCH_REGION, 1, &directory), 0);
    cr_assert_eq(placement_new(loop, &directory->members, &control, 1, 1.5f, &placement), 0);
    directory->members.placement = placement;
    placement_set_on(placement, true);
}

static void setup_busy_node(void)
{
    setup();
    entry_comes(entry_of(&node, 3));
}

static void teardown(void)
{
    directory_free(directory);
    placement_free(placement);
    loop_free(loop);
}

static struct node_values *values_of(const struct address *address)
{
    uint32_t slot = members_find(&directory->members, address);
    cr_assert_neq(slot, MEMBER_NONE);
    return &directory->members.values[slot];
}

static float left_s(const struct address *address)
{
    return finish_time_left_s(values_of(address), loop_now_ns(loop));
}

static void token_comes(const struct address *from, uint64_t boot_id, uint64_t number)
{
    struct wire_idle_token token = {.node = *from, .trailer = {.boot_id = boot_id, .sequence = number}};
    placement_token(&placement->boxes[0], &token, &core);
}

static void desk_runs(void)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
}

static void expect_counted(enum counter counter, uint64_t wanted)
{
    desk_runs();
    cr_expect_eq(counter_read(&control, counter), wanted);
    cr_expect_eq(counter_read(&control, COUNTER_TOKENS_TAKEN), counter == COUNTER_TOKENS_TAKEN ? wanted : 0);
}

TestSuite(placement, .init = setup_busy_node, .fini = teardown);

Test(placement, a_token_of_a_node_that_is_not_known_is_ignored)
{
    token_comes(&other, BOOT, 1);
    expect_counted(COUNTER_TOKENS_UNKNOWN, 1);
}

Test(placement, a_token_of_another_boot_is_ignored)
{
    token_comes(&node, BOOT + 1, 1);
    expect_counted(COUNTER_TOKENS_STALE, 1);
    cr_expect_gt(left_s(&node), 0.2f);
}

Test(placement, a_token_that_comes_again_or_late_is_ignored)
{
    token_comes(&node, BOOT, 5);
    token_comes(&node, BOOT, 5);
    token_comes(&node, BOOT, 4);
    desk_runs();
    cr_expect_eq(counter_read(&control, COUNTER_TOKENS_TAKEN), 1);
    cr_expect_eq(counter_read(&control, COUNTER_TOKENS_STALE), 2);
}

Test(placement, a_token_of_a_drained_node_is_ignored)
{
    struct wire_node drained = entry_of(&node, 3);
    drained.flags = WIRE_NODE_ADMIN_DRAIN;
    entry_comes(drained);
    token_comes(&node, BOOT, 1);
    expect_counted(COUNTER_TOKENS_STALE, 1);
}

Test(placement, a_token_is_not_wanted_while_the_policy_is_another_one)
{
    placement_set_on(placement, false);
    token_comes(&node, BOOT, 1);
    expect_counted(COUNTER_TOKENS_UNWANTED, 1);
}

Test(placement, a_full_box_takes_no_more_until_it_is_emptied)
{
    for (uint32_t i = 0; i < PLACEMENT_NOTES_MAX + 10; i++)
        token_comes(&node, BOOT, i + 1);
    cr_expect_eq(counter_read(&core, COUNTER_TOKENS_FLOOD), 10);
    desk_runs();
    cr_expect_gt(counter_read(&control, COUNTER_TOKENS_TAKEN), 0, "the bell has rung");
}

Test(placement, a_flood_is_cut_at_so_many_a_second)
{
    uint64_t begin_ns = loop_now_ns(loop);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < PLACEMENT_NOTES_MAX; i++)
            token_comes(&node, BOOT, round * PLACEMENT_NOTES_MAX + i + 1);
        desk_runs();
    }
    uint64_t allowed = PLACEMENT_TOKENS_PER_S / 10 + (loop_now_ns(loop) - begin_ns) * PLACEMENT_TOKENS_PER_S / NS_PER_S + 1;
    uint64_t taken = counter_read(&control, COUNTER_TOKENS_TAKEN);
    cr_expect_leq(taken, allowed);
    cr_expect_eq(taken + counter_read(&control, COUNTER_TOKENS_FLOOD), 10 * PLACEMENT_NOTES_MAX);
}

Test(placement, a_token_puts_its_node_among_the_idle_ones)
{
    token_comes(&node, BOOT, 1);
    expect_counted(COUNTER_TOKENS_TAKEN, 1);
    cr_expect_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 1u);
    cr_expect_lt(left_s(&node), 0.01f, "it has a free slot");
}

static void once_a_second_comes(void)
{
    timer_start(loop, &placement->timer, loop_now_ns(loop));
    desk_runs();
}

Test(placement, a_token_that_was_lost_is_no_bar_to_the_next_one)
{
    struct idle_token found[TOKEN_SAMPLES];
    struct random_state random;
    random_init(&random, 1);
    token_comes(&node, BOOT, 1);
    desk_runs();
    cr_assert_eq(idle_tokens_sample(placement->finish.tokens, BENCH_SERVICE, &random, found), 1u);
    cr_assert(idle_tokens_take(placement->finish.tokens, BENCH_SERVICE, &found[0]));
    once_a_second_comes();
    once_a_second_comes();
    token_comes(&node, BOOT, 2);
    desk_runs();
    cr_expect_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 1u);
}

Test(placement, a_node_told_again_stands_there_once)
{
    for (uint64_t i = 1; i <= 5; i++) {
        token_comes(&node, BOOT, i);
        desk_runs();
        once_a_second_comes();
    }
    cr_expect_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 1u);
}

Test(placement, tokens_of_who_left_are_put_away_though_nobody_asks)
{
    token_comes(&node, BOOT, 1);
    desk_runs();
    cr_assert_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 1u);
    struct wire_node rest = entry_of(&other, 3);
    part_comes(&rest, 1, false);
    cr_assert_eq(members_find(&directory->members, &node), MEMBER_NONE);
    for (uint32_t second = 0; second < 8; second++)
        once_a_second_comes();
    cr_expect_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 0u);
}

/* Both come, `held` is held for a minute, and both leave and come again. */
static void both_rejoin(const struct address *held)
{
    const struct wire_node both[] = {entry_of(&node, 0), entry_of(&other, 0)}, third = entry_of(&peer, 0);
    list_comes(both, 2);
    placement->slots[members_find(&directory->members, held)].track.share.held_ns = loop_now_ns(loop) + 60 * NS_PER_S;
    part_comes(&third, 1, false);
    cr_assert_eq(members_find(&directory->members, &node), MEMBER_NONE);
    cr_assert_eq(members_find(&directory->members, &other), MEMBER_NONE);
    list_comes(both, 2);
}

Test(placement, who_was_not_held_comes_anew_as_any)
{
    both_rejoin(&other);
    cr_expect_lt(left_s(&node), 1.0f);
}

Test(placement, who_is_held_stays_so_when_it_leaves_and_comes_again)
{
    both_rejoin(&node);
    cr_expect_gt(left_s(&node), 30.0f);
    cr_expect_lt(left_s(&other), 1.0f);
}

Test(placement, a_node_that_takes_no_jobs_is_never_among_the_idle_ones)
{
    struct wire_node jobless = entry_of(&other, 0);
    jobless.flags = WIRE_NODE_NO_JOBS;
    jobless.age_ms = 500; /* it looks idle too */
    entry_comes(jobless);
    token_comes(&other, BOOT, 1);
    desk_runs();
    cr_expect_eq(idle_tokens_count(placement->finish.tokens, BENCH_SERVICE), 0u);
}

Test(placement, a_restarted_node_s_tokens_count_from_the_first)
{
    token_comes(&node, BOOT, 1000);
    desk_runs();
    struct wire_node restarted = entry_of(&node, 0);
    restarted.boot_id = BOOT + 1;
    entry_comes(restarted);
    token_comes(&node, BOOT + 1, 1);
    expect_counted(COUNTER_TOKENS_TAKEN, 2);
}

Test(placement, a_report_is_the_node_s_work)
{
    cr_expect_float_eq(left_s(&node), 0.3f, 0.02);
    cr_expect_float_eq(finish_time_job_s(atomic_load(&values_of(&node)->job_codes[0])), 0.1f, 0.005);
}

Test(placement, a_dispatcher_s_work_counts_half_as_much_again)
{
    struct wire_node dispatcher = entry_of(&other, 2);
    dispatcher.kind = WIRE_NODE_DISPATCHER;
    entry_comes(dispatcher);
    cr_expect_float_eq(left_s(&other), 0.3f, 0.02);
}

Test(placement, picks_of_a_node_that_does_not_echo_are_not_held_against_it)
{
    struct wire_node attached = entry_of(&other, 0);
    attached.flags = WIRE_NODE_NO_ECHO;
    entry_comes(attached);
    atomic_store(&values_of(&other)->picks, 100);
    attached.boot_id = BOOT + 1; /* a newer report, whatever the clock says */
    entry_comes(attached);
    cr_expect_lt(left_s(&other), 0.05f);
}

Test(placement, nothing_is_learnt_while_the_policy_is_another_one)
{
    placement_set_on(placement, false);
    entry_comes(entry_of(&other, 3));
    cr_expect_eq(atomic_load(&values_of(&other)->slots), 0);
}

Test(placement, what_was_known_is_forgotten_when_the_policy_comes_back)
{
    token_comes(&node, BOOT, 7);
    desk_runs();
    placement_set_on(placement, false);
    placement_set_on(placement, true);
    cr_expect_eq(atomic_load(&values_of(&node)->slots), 0);
    cr_expect_lt(left_s(&node), 0.01f);
    token_comes(&node, BOOT, 8);
    desk_runs();
    cr_expect_eq(counter_read(&control, COUNTER_TOKENS_STALE), 1);
    cr_assert_eq(placement->slots[members_find(&directory->members, &node)].track.boot_id, 0u, "until it reports");
}

Test(placement, a_token_is_not_believed_of_the_slot_s_next_node)
{
    token_comes(&node, BOOT, 1);
    desk_runs();
    uint32_t slot = members_find(&directory->members, &node);
    uint8_t tenure = node_values_tenure(&directory->members.values[slot]);
    cr_assert(members_remove(&directory->members, &node));
    cr_expect_neq(node_values_tenure(&directory->members.values[slot]), tenure);
}

Test(placement, a_node_that_offers_something_else_stays_what_was_known_of_it)
{
    struct wire_node more = entry_of(&node, 3);
    more.service_count = 2;
    more.services[1] = (struct wire_node_service){.service_id = BENCH_SERVICE + 1, .rate = 5};
    token_comes(&node, BOOT, 7);
    desk_runs();
    entry_comes(more);
    token_comes(&node, BOOT, 7);
    desk_runs();
    cr_expect_eq(counter_read(&control, COUNTER_TOKENS_STALE), 1, "the sequence goes on");
}

Test(placement, dispatchers_in_service_are_counted)
{
    struct wire_node entries[3] = {entry_of(&node, 1), entry_of(&other, 1), entry_of(&other, 1)};
    entries[1].kind = entries[2].kind = WIRE_NODE_DISPATCHER;
    entries[2].address.port++;
    list_comes(entries, 3);
    cr_assert_eq(directory_step(directory, loop_now_ns(loop)), 0);
    cr_expect_eq(atomic_load(&placement->finish.dispatchers), 2u);
    entries[2].flags = WIRE_NODE_DRAINING;
    list_comes(entries, 3);
    cr_assert_eq(directory_step(directory, loop_now_ns(loop)), 0);
    cr_expect_eq(atomic_load(&placement->finish.dispatchers), 1u);
}

Test(placement, stats_are_of_finish_time_alone)
{
    struct placement_stats stats;
    uint64_t now_ns = loop_now_ns(loop);
    token_comes(&node, BOOT, 1);
    desk_runs();
    atomic_store(&placement->finish.turned_ns, now_ns - NS_PER_S / 2);
    placement_read_stats(placement, now_ns, &stats);
    cr_expect(stats.in_turn);
    cr_expect_eq(stats.idle_tokens, 1u);
    placement_read_stats(placement, now_ns + NS_PER_S, &stats);
    cr_expect_not(stats.in_turn);
    placement_set_on(placement, false);
    placement_read_stats(placement, now_ns, &stats);
    cr_expect_eq(stats.idle_tokens + stats.dispatchers, 0u);
}

/* ---- over a core ---- */

static void token_sent(struct bench *bench)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint8_t answer;
    struct wire_idle_token token = {.node = node, .trailer = {.boot_id = BOOT, .sequence = 1}};
    int client = bench_client(bench, SOCK_DGRAM);
    int length = wire_idle_token_encode(&token, 5, bytes, sizeof(bytes));
    bench->shared.placement = placement;
    cr_assert_gt(length, 0);
    cr_assert_eq(send(client, bytes, (size_t)length, 0), length);
    length = (int)frame_write(bytes, FRAME_TYPE_IDLE_TOKEN, 6, (uint32_t)length); /* zeros: no address, no boot */
    cr_assert_eq(send(client, bytes, (size_t)length, 0), length);
    bench_run_batches(bench);
    expect_counted(COUNTER_TOKENS_TAKEN, 1);
    cr_expect_lt(recv(client, &answer, 1, MSG_DONTWAIT), 0, "neither is answered");
    close(client);
}

Test(placement, a_datagram_is_a_token_and_a_malformed_one_is_never_answered)
{
    bench_run(LOOP_EPOLL, token_sent);
}
