/* The conversation with the resource managers, step by step (requirement N6). */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/node/heartbeat.h"

#define MS UINT64_C(1000000)
#define INTERVAL (1000 * MS)
#define START (5000 * MS)

static struct heartbeats beats;
static uint64_t sequence;
static uint32_t padded_length;
static bool changed;
static struct wire_trailer rm_trailer;

static void init(void)
{
    struct address rms[2];
    cr_assert_eq(address_parse("127.0.0.1:7300", &rms[0]), 0);
    cr_assert_eq(address_parse("[::1]:7300", &rms[1]), 0);
    rm_trailer = (struct wire_trailer){.boot_id = 700};
    heartbeats_init(&beats, rms, 2, 1, INTERVAL, 0.5, START);
}

TestSuite(heartbeat, .init = init);

static enum heartbeat_message take(uint32_t rm, uint64_t now_ns)
{
    return heartbeats_take(&beats, rm, now_ns, &sequence, &padded_length, &changed);
}

static const struct wire_trailer *next_trailer(void)
{
    rm_trailer.sequence++;
    return &rm_trailer;
}

static int ack(uint32_t rm, uint64_t acked_sequence, uint16_t region, uint16_t flags, uint64_t now_ns)
{
    struct wire_heartbeat_ack message = {
        .region = region, .flags = flags, .acked_sequence = acked_sequence, .dispatcher_total = 3, .trailer = *next_trailer()};
    return heartbeats_on_ack(&beats, rm, &message, now_ns, &changed);
}

/* REGISTER, its acknowledgement, and the HEARTBEAT behind it. */
static void reach(uint64_t now_ns)
{
    cr_assert_eq(take(0, now_ns), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
    cr_assert_eq(take(0, now_ns), HEARTBEAT_BEAT);
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
}

Test(heartbeat, stranger_is_no_rm)
{
    struct address stranger;
    cr_assert_eq(address_parse("127.0.0.1:7301", &stranger), 0);
    cr_expect_eq(heartbeats_find(&beats, &stranger), HEARTBEAT_RMS_MAX);
    cr_expect_eq(heartbeats_find(&beats, &beats.rms[1].address), 1);
}

Test(heartbeat, ack_of_something_never_sent_is_stale)
{
    cr_expect_eq(ack(0, 1, 1, 0, START), -ESTALE);
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(ack(0, sequence + 1, 1, 0, START), -ESTALE);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_SEEKING);
}

Test(heartbeat, repeated_ack_is_stale)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(ack(0, sequence, 1, 0, START), 0);
    cr_expect_eq(ack(0, sequence, 1, 0, START), -ESTALE);
}

Test(heartbeat, ack_whose_sequence_has_been_seen_in_this_boot_is_stale)
{
    reach(START);
    cr_assert_eq(take(0, START + INTERVAL / 2), HEARTBEAT_BEAT);
    rm_trailer.sequence--;
    cr_expect_eq(ack(0, sequence, 1, 0, START + INTERVAL / 2), -ESTALE);
    cr_expect_eq(ack(0, sequence, 1, 0, START + INTERVAL / 2), 0);
}

Test(heartbeat, restarted_rm_is_heard_though_its_sequences_begin_again)
{
    reach(START);
    cr_assert_eq(take(0, START + INTERVAL / 2), HEARTBEAT_BEAT);
    rm_trailer = (struct wire_trailer){.boot_id = 701};
    cr_expect_eq(ack(0, sequence, 1, 0, START + INTERVAL / 2), 0);
}

Test(heartbeat, error_for_another_message_is_stale)
{
    cr_expect_eq(heartbeats_on_error(&beats, 0, 0, START, &changed), -ESTALE);
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(heartbeats_on_error(&beats, 0, sequence + 1, START, &changed), -ESTALE);
}

Test(heartbeat, first_register_is_due_at_once_at_every_rm)
{
    cr_expect_eq(heartbeats_due_ns(&beats), START);
    cr_expect_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(take(1, START), HEARTBEAT_REGISTER);
    cr_expect_eq(take(0, START), HEARTBEAT_NOTHING);
    cr_expect_eq(heartbeats_due_ns(&beats), START + INTERVAL / 2, "the phase");
}

Test(heartbeat, unanswered_register_is_repeated_every_interval)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(take(0, START + INTERVAL / 2 - 1), HEARTBEAT_NOTHING);
    cr_expect_eq(take(0, START + INTERVAL / 2), HEARTBEAT_REGISTER);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2 - 1), HEARTBEAT_NOTHING);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2), HEARTBEAT_REGISTER);
}

Test(heartbeat, first_ack_reaches_rm_and_brings_a_heartbeat_at_once)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(0, sequence, 1, 0, START + MS), 0);
    cr_expect(changed);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REACHED);
    cr_expect_eq(heartbeats_due_ns(&beats), START, "the other rm's REGISTER");
    cr_expect_eq(take(0, START + MS), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, START + MS), HEARTBEAT_NOTHING);
}

Test(heartbeat, beats_come_every_interval_in_their_phase)
{
    reach(START);
    cr_expect_eq(take(0, START + INTERVAL / 2), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2 - 1), HEARTBEAT_NOTHING);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2 + 7 * MS), HEARTBEAT_BEAT, "late");
    cr_expect_eq(beats.rms[0].due_ns, START + 5 * INTERVAL / 2, "and still in phase");
}

Test(heartbeat, missed_beats_are_not_made_up_for)
{
    reach(START);
    cr_expect_eq(take(0, START + 10 * INTERVAL), HEARTBEAT_REGISTER, "silent for long: lost");
    cr_expect_eq(take(0, START + 10 * INTERVAL), HEARTBEAT_NOTHING);
}

Test(heartbeat, sequences_increase_over_all_rms)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < 6; i++) {
        cr_assert_neq(take((uint32_t)(i % 2), START + i * INTERVAL), HEARTBEAT_NOTHING);
        cr_expect_gt(sequence, last);
        last = sequence;
    }
}

Test(heartbeat, wanted_register_goes_out_and_a_heartbeat_behind_it)
{
    reach(START);
    uint64_t now_ns = START + INTERVAL / 2;
    cr_assert_eq(take(0, now_ns), HEARTBEAT_BEAT);
    cr_assert_eq(ack(0, sequence, 1, WIRE_ACK_REGISTER_WANTED, now_ns), 0);
    cr_expect_not(changed);
    cr_expect_eq(take(0, now_ns), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
    cr_expect_eq(take(0, now_ns + HEARTBEAT_GAP_NS - 1), HEARTBEAT_NOTHING, "too near to the heartbeat before");
    cr_expect_eq(take(0, now_ns + HEARTBEAT_GAP_NS), HEARTBEAT_BEAT);
}

Test(heartbeat, rm_that_always_wants_a_register_gets_ten_a_second_at_most)
{
    reach(START);
    uint32_t registers = 0;
    for (uint64_t now_ns = START + MS; now_ns < START + 1000 * MS; now_ns += MS)
        if (take(0, now_ns) != HEARTBEAT_NOTHING) {
            registers++;
            cr_assert_eq(ack(0, sequence, 1, WIRE_ACK_REGISTER_WANTED, now_ns), 0);
        }
    cr_expect_leq(registers, 12);
}

Test(heartbeat, rm_silent_for_three_intervals_is_lost)
{
    reach(START);
    for (uint64_t i = 0; i < 3; i++) {
        cr_expect_eq(take(0, START + INTERVAL / 2 + i * INTERVAL), HEARTBEAT_BEAT);
        cr_expect_not(changed);
    }
    cr_expect_eq(take(0, START + INTERVAL / 2 + 3 * INTERVAL), HEARTBEAT_REGISTER);
    cr_expect(changed);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_LOST);
}

Test(heartbeat, rm_that_never_answers_is_lost_once)
{
    uint32_t changes = 0;
    for (uint64_t now_ns = START; now_ns < START + 20 * INTERVAL; now_ns += 100 * MS) {
        take(0, now_ns);
        changes += changed;
    }
    cr_expect_eq(changes, 1);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_LOST);
}

Test(heartbeat, lost_rm_comes_back)
{
    take(0, START + 4 * INTERVAL);
    cr_assert_eq(beats.rms[0].state, HEARTBEAT_LOST);
    cr_assert_eq(ack(0, sequence, 1, 0, START + 4 * INTERVAL), 0);
    cr_expect(changed);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REACHED);
    cr_expect_eq(take(0, START + 4 * INTERVAL), HEARTBEAT_BEAT);
}

Test(heartbeat, rm_of_another_region_is_refused_and_asked_rarely)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(0, sequence, 2, 0, START), 0);
    cr_expect(changed);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REFUSED);
    uint32_t registers = 0;
    for (uint64_t now_ns = START + MS; now_ns < START + 20 * INTERVAL; now_ns += 100 * MS) {
        enum heartbeat_message message = take(0, now_ns);
        cr_expect_neq(message, HEARTBEAT_BEAT);
        if (message == HEARTBEAT_REGISTER)
            cr_assert_eq(ack(0, sequence, 2, 0, now_ns), 0);
        registers += message == HEARTBEAT_REGISTER;
    }
    cr_expect_eq(registers, 4);
}

Test(heartbeat, single_ack_of_another_region_delays_nothing)
{
    reach(START);
    cr_assert_eq(take(0, START + INTERVAL / 2), HEARTBEAT_BEAT);
    cr_assert_eq(ack(0, sequence, 2, 0, START + INTERVAL / 2), 0);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(0, sequence, 1, 0, START + 3 * INTERVAL / 2), 0);
    cr_expect_eq(take(0, START + 3 * INTERVAL / 2), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, START + 5 * INTERVAL / 2), HEARTBEAT_BEAT);
}

Test(heartbeat, rm_that_fits_again_is_told_at_the_next_regular_time)
{
    uint64_t now_ns = START;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(take(0, now_ns), HEARTBEAT_REGISTER);
        if (i < 2)
            cr_assert_eq(ack(0, sequence, 2, 0, now_ns), 0);
        now_ns = beats.rms[0].due_ns;
    }
    now_ns -= INTERVAL;
    cr_assert_eq(now_ns, START + INTERVAL / 2 + HEARTBEAT_REFUSED_NS);
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REACHED);
    cr_expect_eq(take(0, now_ns), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, now_ns + INTERVAL), HEARTBEAT_BEAT);
}

Test(heartbeat, acknowledged_message_is_not_refused_any_more)
{
    reach(START);
    cr_expect_eq(heartbeats_on_error(&beats, 0, sequence, START, &changed), -ESTALE);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REACHED);
}

/* The rm holds two ACKs of another region back; what it says of a third message meanwhile fits. */
Test(heartbeat, late_refusals_are_taken_back_in_the_phase)
{
    reach(START);
    uint64_t sent[3];
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_eq(take(0, START + INTERVAL / 2 + i * INTERVAL), HEARTBEAT_BEAT);
        sent[i] = sequence;
    }
    uint64_t now_ns = START + 5 * INTERVAL / 2 + 20 * MS;
    cr_assert_eq(ack(0, sent[0], 2, 0, now_ns), 0);
    cr_assert_eq(ack(0, sent[1], 2, 0, now_ns), 0);
    cr_expect_eq(beats.rms[0].due_ns, START + 15 * INTERVAL / 2 + INTERVAL);
    cr_assert_eq(ack(0, sent[2], 1, 0, now_ns), 0);
    cr_expect_eq(beats.rms[0].due_ns, START + 7 * INTERVAL / 2);
}

Test(heartbeat, refused_message_is_followed_by_the_next_regular_one)
{
    reach(START);
    cr_assert_eq(take(0, START + INTERVAL / 2), HEARTBEAT_BEAT);
    for (uint64_t i = 0; i < 10; i++) {
        cr_assert_eq(heartbeats_on_error(&beats, 0, sequence, START + INTERVAL / 2 + i * INTERVAL, &changed), 0);
        cr_expect_eq(take(0, START + 3 * INTERVAL / 2 + i * INTERVAL), HEARTBEAT_REGISTER);
    }
    uint64_t now_ns = START + 21 * INTERVAL / 2;
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
    cr_expect_eq(take(0, now_ns), HEARTBEAT_BEAT);
    cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
    cr_expect_eq(take(0, now_ns + INTERVAL), HEARTBEAT_BEAT, "as if nothing had been");
}

Test(heartbeat, error_refuses_once)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_assert_eq(heartbeats_on_error(&beats, 0, sequence, START, &changed), 0);
    cr_expect(changed);
    cr_expect_eq(beats.rms[0].state, HEARTBEAT_REFUSED);
    cr_assert_eq(heartbeats_on_error(&beats, 0, sequence, START, &changed), 0);
    cr_expect_not(changed);
}

Test(heartbeat, hastening_sends_at_once)
{
    reach(START);
    cr_expect_eq(take(0, START + MS), HEARTBEAT_NOTHING);
    heartbeats_hasten(&beats, START + MS);
    cr_expect_eq(heartbeats_due_ns(&beats), START + MS);
    cr_expect_eq(take(0, START + MS), HEARTBEAT_BEAT);
    cr_expect_eq(take(1, START + MS), HEARTBEAT_REGISTER);
}

Test(heartbeat, regular_one_tells_of_a_change_that_waits)
{
    struct address rm;
    cr_assert_eq(address_parse("127.0.0.1:7300", &rm), 0);
    heartbeats_init(&beats, &rm, 1, 1, 10 * MS, 0, START); /* regular ones come sooner than the gap has passed */
    reach(START);
    for (uint64_t now_ns = START + 10 * MS; now_ns < START + 100 * MS; now_ns += 10 * MS) {
        cr_expect_eq(take(0, now_ns), HEARTBEAT_BEAT);
        cr_assert_eq(ack(0, sequence, 1, 0, now_ns), 0);
        heartbeats_change(&beats, now_ns + MS);
        for (uint64_t ms = 1; ms < 10; ms++)
            cr_expect_eq(take(0, now_ns + ms * MS), HEARTBEAT_NOTHING);
    }
}

Test(heartbeat, a_change_makes_a_difference_once_and_where_somebody_listens)
{
    cr_expect_not(heartbeats_heed_change(&beats), "nobody has answered yet");
    reach(START);
    cr_expect(heartbeats_heed_change(&beats));
    heartbeats_change(&beats, START + MS);
    cr_expect_not(heartbeats_heed_change(&beats), "one is on its way");
    cr_assert_eq(take(0, START + 20 * MS), HEARTBEAT_BEAT);
    cr_expect(heartbeats_heed_change(&beats));
}

Test(heartbeat, padding_has_room_for_all_dispatchers)
{
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    cr_expect_eq(padded_length, HEARTBEAT_ACK_BYTES_MIN);
    cr_assert_eq(ack(0, sequence, 1, 0, START), 0);
    cr_assert_eq(take(0, START), HEARTBEAT_BEAT);
    cr_expect_eq(padded_length, HEARTBEAT_ACK_BYTES_MIN + 3 * ACK_DISPATCHER_BYTES_IPV6);
}

Test(heartbeat, latest_admin_state_wins)
{
    struct wire_heartbeat_ack message = {.region = 1, .admin = {.version_ms = 10, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN}};
    cr_assert_eq(take(0, START), HEARTBEAT_REGISTER);
    message.acked_sequence = sequence;
    message.trailer = *next_trailer();
    cr_assert_eq(heartbeats_on_ack(&beats, 0, &message, START, &changed), 0);
    cr_expect_eq(beats.admin.flags, WIRE_ADMIN_DRAIN);

    cr_assert_eq(take(1, START), HEARTBEAT_REGISTER);
    message.acked_sequence = sequence;
    message.admin = (struct wire_admin){.version_ms = 10, .writer_rm_id = 4};
    message.trailer = *next_trailer();
    cr_assert_eq(heartbeats_on_ack(&beats, 1, &message, START, &changed), 0);
    cr_expect_eq(beats.admin.flags, WIRE_ADMIN_DRAIN, "of two of one time the greater rm ID's");

    cr_assert_eq(take(1, START), HEARTBEAT_BEAT);
    message.acked_sequence = sequence;
    message.admin = (struct wire_admin){.version_ms = 11, .writer_rm_id = 1};
    message.trailer = *next_trailer();
    cr_assert_eq(heartbeats_on_ack(&beats, 1, &message, START, &changed), 0);
    cr_expect_eq(beats.admin.flags, 0);
}

Test(heartbeat, what_an_operator_told_one_rm_the_other_hears_at_once)
{
    struct wire_heartbeat_ack message = {.region = 1, .admin = {.version_ms = 10, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN}};
    reach(START);
    cr_assert_eq(take(1, START), HEARTBEAT_REGISTER);
    cr_assert_eq(ack(1, sequence, 1, 0, START), 0);
    cr_assert_eq(take(1, START), HEARTBEAT_BEAT);
    uint64_t now_ns = START + 500 * MS; /* when a regular one is due */
    cr_assert_eq(take(0, now_ns), HEARTBEAT_BEAT);
    message.acked_sequence = sequence;
    message.trailer = *next_trailer();
    cr_assert_eq(take(1, now_ns), HEARTBEAT_BEAT);
    cr_assert_eq(heartbeats_on_ack(&beats, 0, &message, now_ns, &changed), 0);
    cr_expect_eq(heartbeats_due_ns(&beats), now_ns + HEARTBEAT_GAP_NS);
    cr_expect_eq(take(0, now_ns + HEARTBEAT_GAP_NS), HEARTBEAT_NOTHING, "it was this one who told");
    cr_expect_eq(take(1, now_ns + HEARTBEAT_GAP_NS), HEARTBEAT_BEAT);
}

Test(heartbeat, change_is_told_to_nobody_who_does_not_listen)
{
    (void)take(0, START);
    heartbeats_change(&beats, START + MS);
    cr_expect_eq(take(0, START + 20 * MS), HEARTBEAT_NOTHING);
}

Test(heartbeat, change_is_told_at_once)
{
    reach(START);
    uint64_t now_ns = START + 100 * MS;
    heartbeats_change(&beats, now_ns);
    cr_expect_eq(heartbeats_due_ns(&beats), START, "the other rm still waits for its REGISTER");
    cr_expect_eq(take(0, now_ns), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, now_ns), HEARTBEAT_NOTHING);
}

Test(heartbeat, changes_are_told_10_ms_apart)
{
    reach(START);
    (void)take(1, START);
    uint64_t now_ns = START + 100 * MS;
    heartbeats_change(&beats, now_ns);
    cr_assert_eq(take(0, now_ns), HEARTBEAT_BEAT);
    heartbeats_change(&beats, now_ns + 2 * MS);
    cr_expect_eq(heartbeats_due_ns(&beats), now_ns + HEARTBEAT_GAP_NS);
    cr_expect_eq(take(0, now_ns + 10 * MS), HEARTBEAT_NOTHING);
    cr_expect_eq(take(0, now_ns + HEARTBEAT_GAP_NS), HEARTBEAT_BEAT);
}

Test(heartbeat, regular_one_does_not_follow_right_behind_a_change)
{
    reach(START);
    uint64_t regular_ns = START + INTERVAL / 2; /* the phase of init */
    heartbeats_change(&beats, regular_ns - 5 * MS);
    cr_assert_eq(take(0, regular_ns - 5 * MS), HEARTBEAT_BEAT);
    cr_expect_eq(take(0, regular_ns), HEARTBEAT_NOTHING);
    cr_expect_eq(take(0, regular_ns + INTERVAL), HEARTBEAT_BEAT);
}
