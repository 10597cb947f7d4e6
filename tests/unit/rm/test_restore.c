#include <criterion/criterion.h>
#include <errno.h>

#include "rm/mirror_batch.h"
#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(false);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(restore, .init = setup, .fini = teardown);

static void restore(uint32_t number, uint64_t age_ns)
{
    struct cluster_restored restored = {
        .address = fixture_address(number),
        .kind = WIRE_NODE_WORKER,
        .slots = 1,
        .boot = {.boot_id = number + 1, .sequence = 100},
        .load_index = 1,
        .service_count = 1,
        .services = {{.service_id = fixture_service("echo")}},
    };
    cr_assert_eq(cluster_restore(fixture->cluster, fixture->now, &restored), 0);
    cluster_restore_age(fixture->cluster, fixture->now, &restored.address, age_ns);
}

Test(restore, replay_from_before_the_restart_is_refused)
{
    uint32_t slot;
    restore(1, NS_PER_S);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_REPLAYED);
}

Test(restore, node_that_was_heard_is_not_overwritten)
{
    fixture_beat(fixture, 1, 5);
    restore(1, 2 * NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_eq(fixture->cluster->nodes[0].load_index, 5.0f);
    cr_assert_not(fixture->cluster->nodes[0].restored);
    cr_assert_eq(fixture->cluster->restored_count, 0);
}

Test(restore, nodes_are_listed_with_their_ages)
{
    restore(1, NS_PER_S);
    restore(2, 10 * NS_PER_S);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 0);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_eq(fixture_state(fixture, 2), NODE_FRESH);
    cr_assert_eq(node_age_ns(&fixture->cluster->nodes[0], fixture->now.ns), NS_PER_S);
}

Test(restore, node_that_stays_silent_is_listed_last_after_a_valid_time)
{
    restore(1, 10 * NS_PER_S);
    restore(2, 10 * NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    fixture->sequence = 100;
    fixture_beat(fixture, 2, 1);
    fixture_pass(fixture, FIXTURE_VALID_NS - NS_PER_S / 10);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert_eq(fixture_state(fixture, 1), NODE_LAST);
}

Test(restore, node_without_a_beat_is_faulty)
{
    restore(1, NS_PER_S);
    struct cluster_restored silent = {.address = fixture_address(2), .boot = {.boot_id = 3}};
    cr_assert_eq(cluster_restore(fixture->cluster, fixture->now, &silent), 0);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_eq(fixture_state(fixture, 2), NODE_FAULTY);
    fixture_beat(fixture, 2, 1);
    cr_assert_eq(fixture_state(fixture, 2), NODE_FRESH);
    cr_assert_eq(fixture->events[CLUSTER_NODE_RETURNED], 1);
}

Test(restore, old_store_does_not_make_the_list_complete)
{
    restore(1, FIXTURE_VALID_NS + NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 1);
    cr_assert_not(cluster_is_complete(fixture->cluster, fixture->now.ns));
    fixture_pass(fixture, FIXTURE_VALID_NS);
    cr_assert(cluster_is_complete(fixture->cluster, fixture->now.ns));
}

Test(restore, store_that_was_written_within_the_valid_time_makes_the_list_complete)
{
    restore(1, FIXTURE_VALID_NS + NS_PER_S);
    restore(2, FIXTURE_VALID_NS - NS_PER_S);
    cr_assert_not(cluster_is_complete(fixture->cluster, fixture->now.ns));
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert(cluster_is_complete(fixture->cluster, fixture->now.ns));
}

Test(restore, late_restore_lists_nobody)
{
    fixture_beat(fixture, 9, 1);
    fixture_pass(fixture, FIXTURE_VALID_NS + NS_PER_S);
    restore(1, NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_eq(fixture_state(fixture, 1), NODE_REGISTERED);
}

Test(restore, nobody_is_taken_off_the_list_during_the_grace)
{
    restore(1, 0);
    restore(2, 2 * NS_PER_S);
    restore(3, 10 * NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    for (uint32_t i = 0; i < 5; i++) {
        fixture->sequence = 100 + i;
        fixture_beat(fixture, 1, 1);
        fixture_pass(fixture, NS_PER_S);
    }
    cr_assert_eq(cluster_listed_count(fixture->cluster), 3);
    for (uint32_t i = 0; i < 3; i++) {
        fixture_beat(fixture, 1, 1);
        fixture_pass(fixture, NS_PER_S);
    }
    cr_assert_eq(cluster_listed_count(fixture->cluster), 1);
}

Test(restore, fresh_nodes_stay_in_the_order_of_their_silence)
{
    fixture_beat(fixture, 9, 1);
    fixture->now.ns += NS_PER_S;
    restore(1, 2 * NS_PER_S);
    restore(2, NS_PER_S);
    cluster_restore_commit(fixture->cluster, fixture->now);
    uint64_t silence_ns = UINT64_MAX;
    for (uint32_t slot = fixture->cluster->states[NODE_FRESH].head; slot != NODE_NONE;
         slot = fixture->cluster->nodes[slot].links[NODE_LIST_STATE].next) {
        uint64_t this_ns = node_silence_ns(&fixture->cluster->nodes[slot], fixture->now.ns);
        cr_assert_leq(this_ns, silence_ns);
        silence_ns = this_ns;
    }
}

/* ---- capacity and use, which weights are made of ---- */

static void restore_cpu(uint32_t number, float cores, float use)
{
    struct cluster_restored restored = {
        .address = fixture_address(number),
        .kind = WIRE_NODE_WORKER,
        .slots = 1,
        .boot = {.boot_id = number + 1, .sequence = 100},
        .jobs_queued = 3,
        .service_count = 1,
        .metadata_count = 2,
        .services = {{.service_id = fixture_service("echo")}},
        .metadata = {{.key = WIRE_METADATA_CPU_CORES, .value = cores}, {.key = WIRE_METADATA_CPU_USE, .value = use}},
    };
    cr_assert_eq(cluster_restore(fixture->cluster, fixture->now, &restored), 0);
    cluster_restore_age(fixture->cluster, fixture->now, &restored.address, NS_PER_S);
}

static float weight(uint32_t number)
{
    struct address address = fixture_address(number);
    return weights_of(fixture->cluster, &fixture->cluster->nodes[cluster_find(fixture->cluster, &address)], 0);
}

Test(restore, nodes_weigh_what_they_weighed_before_they_heartbeat)
{
    restore_cpu(1, 16, 0.5f);
    restore_cpu(2, 8, 0.25f);
    cluster_restore_commit(fixture->cluster, fixture->now);
    cr_assert_float_eq(weight(1), 1.0, 1e-6); /* 16 · (1 − 0.5) / 8 */
    cr_assert_float_eq(weight(2), 0.75, 1e-6);
    cr_assert_eq(fixture->cluster->nodes[0].jobs_queued, 3);
}

Test(restore, node_that_stays_silent_takes_no_term_from_the_others)
{
    restore_cpu(1, 16, 0.5f);
    restore_cpu(2, 8, 0.25f);
    cluster_restore_commit(fixture->cluster, fixture->now);
    fixture->sequence = 100;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.metadata_count = 2;
    heartbeat.metadata[0] = (struct wire_metadata){.key = WIRE_METADATA_CPU_CORES, .value = 16};
    heartbeat.metadata[1] = (struct wire_metadata){.key = WIRE_METADATA_CPU_USE, .value = 0.25f};
    uint32_t slot;
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_float_eq(weight(1), 1.5, 1e-6);
}

/* ---- operators' words, which other rm write too ---- */

static const struct node *word_read(uint32_t number, uint64_t version_ms, uint8_t flags, const char *reason, bool expect_adopted)
{
    struct address address = fixture_address(number);
    struct wire_admin word = {.version_ms = version_ms, .writer_rm_id = 99, .flags = flags};
    bool adopted;
    cr_assert_eq(cluster_restore_admin(fixture->cluster, fixture->now, &address, &word, reason, &adopted), 0);
    cr_assert_eq(adopted, expect_adopted);
    uint32_t slot = cluster_find(fixture->cluster, &address);
    return slot == NODE_NONE ? NULL : &fixture->cluster->nodes[slot];
}

Test(restore, word_that_was_taken_back_makes_no_node_known)
{
    cr_assert_null(word_read(1, 5, 0, "", false));
    cr_assert(node_is_drained(word_read(1, 6, WIRE_ADMIN_DRAIN, "", true)));
}

Test(restore, later_word_is_adopted_and_not_written_back)
{
    fixture_beat(fixture, 1, 1);
    const struct node *node = word_read(1, fixture->now.wall_ms, WIRE_ADMIN_DRAIN, "disk", true);
    cr_assert(node_is_drained(node));
    cr_assert_str_eq(node->reason, "disk");
    cr_assert_not(node->admin_dirty);
}

Test(restore, word_from_a_time_that_is_none_is_written_over)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct wire_admin word = {.version_ms = (UINT64_C(1) << 53) - 1, .writer_rm_id = 99};
    bool adopted;
    cr_assert_eq(cluster_restore_admin(fixture->cluster, fixture->now, &address, &word, "no time", &adopted), -ERANGE);
    const struct node *node = &fixture->cluster->nodes[slot];
    cr_assert_not(node->admin_dirty, "we have nothing to say");
    cr_assert_null(node->reason);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    fixture->cluster->nodes[slot].admin_dirty = false; /* written */
    cr_assert_eq(cluster_restore_admin(fixture->cluster, fixture->now, &address, &word, "no time", &adopted), -ERANGE);
    cr_assert(node_is_drained(node));
    cr_assert(node->admin_dirty);
}

Test(restore, word_that_was_stored_while_our_clock_was_ahead_is_found_when_it_is_set_right)
{
    fixture_beat(fixture, 1, 1);
    uint64_t year_ms = UINT64_C(365) * 86400 * MS_PER_S;
    cr_assert(node_is_drained(word_read(1, fixture->now.wall_ms + year_ms, WIRE_ADMIN_DRAIN, "disk", true)));
}

Test(restore, older_word_is_written_anew)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    fixture->cluster->nodes[slot].admin_dirty = false; /* written */
    const struct node *node = word_read(1, fixture->now.wall_ms - 1, 0, "", false);
    cr_assert(node_is_drained(node));
    cr_assert(node->admin_dirty);
}

Test(restore, same_word_needs_no_writing_and_brings_its_reason)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.admin = (struct wire_admin){.version_ms = fixture->now.wall_ms, .writer_rm_id = 99, .flags = WIRE_ADMIN_DRAIN};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    fixture->cluster->nodes[slot].admin_dirty = false;
    const struct node *node = word_read(1, fixture->now.wall_ms, WIRE_ADMIN_DRAIN, "disk", false);
    cr_assert_not(node->admin_dirty);
    cr_assert_str_eq(node->reason, "disk");
    node = word_read(1, fixture->now.wall_ms, WIRE_ADMIN_DRAIN, "", false);
    cr_assert(node->admin_dirty, "who knows the reason writes it where it is missing");
}

Test(restore, word_that_was_written_and_is_read_no_more_is_written_again)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    cluster_words_reading(fixture->cluster);
    cr_assert_eq(cluster_words_missing(fixture->cluster), 0, "nobody has said anything");
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    struct node *node = &fixture->cluster->nodes[slot];
    cr_assert_eq(cluster_words_missing(fixture->cluster), 0, "not written yet");
    node->admin_dirty = false;
    cluster_words_reading(fixture->cluster);
    struct wire_admin word = node->admin;
    bool adopted;
    cr_assert_eq(cluster_restore_admin(fixture->cluster, fixture->now, &address, &word, "", &adopted), 0);
    cr_assert_eq(cluster_words_missing(fixture->cluster), 0);
    cluster_words_reading(fixture->cluster);
    cr_assert_eq(cluster_words_missing(fixture->cluster), 1);
    cr_assert(node->admin_dirty);
}

Test(restore, word_that_is_written_while_words_are_read_is_not_missed)
{
    static struct mirror_batch batch;
    struct address address = fixture_address(1);
    fixture_beat(fixture, 1, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    cluster_words_reading(fixture->cluster);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, MIRROR_BATCH_NODES, MIRROR_BATCH_NODES, &batch);
    cr_assert_eq(cluster_words_missing(fixture->cluster), 0);
    cluster_words_reading(fixture->cluster);
    cr_assert_eq(cluster_words_missing(fixture->cluster), 1, "now it has had the time");
}

Test(restore, word_about_a_node_that_is_forgotten_is_nobodys)
{
    struct address address = fixture_address(1);
    struct wire_admin word = {.version_ms = fixture->now.wall_ms, .writer_rm_id = 99, .flags = WIRE_ADMIN_DRAIN};
    bool adopted;
    cr_assert_eq(cluster_restore_admin(fixture->cluster, fixture->now, &address, &word, "", &adopted), 0);
    cr_assert_eq(fixture->cluster->words.count, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert_eq(fixture->cluster->words.count, 1, "it may not come again");
    fixture_pass(fixture, 3700 * NS_PER_S);
    cr_assert_eq(cluster_find(fixture->cluster, &address), NODE_NONE);
    cr_assert_eq(fixture->cluster->words.count, 0);
}
