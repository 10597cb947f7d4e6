#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "rm/mirror_batch.h"
#include "rm/mirror_text.h"
#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(true);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(mirror_text, .init = setup, .fini = teardown);
TestSuite(mirror_batch, .init = setup, .fini = teardown);

static void check_refused(const char *address, const char *text)
{
    struct cluster_restored restored;
    cr_assert_eq(mirror_node_parse(&fixture->cluster->services, address, text, strlen(text), &restored), -EINVAL, "%s", text);
}

#define NODE_START "{\"kind\":\"worker\",\"flags\":0,\"slots\":1,\"boot\":\"0000000000000001\",\"sequence\":1,\"timestamp_ms\":1,"
#define NODE_BEGIN NODE_START "\"queued\":0,\"running\":0,\"metadata\":{},"
#define NODE_END "\"load\":1,\"load_per_job\":1,\"services\":{}}"

static int parse(const char *text, struct cluster_restored *ret_restored)
{
    return mirror_node_parse(&fixture->cluster->services, "127.0.0.1:1", text, strlen(text), ret_restored);
}

Test(mirror_text, damaged_nodes_are_refused)
{
    check_refused("127.0.0.1:1", "");
    check_refused("127.0.0.1:1", "[]");
    check_refused("127.0.0.1:1", "{}");
    check_refused("localhost:1", NODE_BEGIN "\"load\":1,\"load_per_job\":1,\"services\":{}}");
    check_refused("0.0.0.0:1", NODE_BEGIN "\"load\":1,\"load_per_job\":1,\"services\":{}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":-1,\"load_per_job\":1,\"services\":{}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":1e300,\"load_per_job\":1,\"services\":{}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":\"1\",\"load_per_job\":1,\"services\":{}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":1,\"load_per_job\":1,\"services\":{\"a b\":[1,1]}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":1,\"load_per_job\":1,\"services\":{\"echo\":[1]}}");
    check_refused("127.0.0.1:1", NODE_BEGIN "\"load\":1,\"load_per_job\":1,\"services\":{\"#12\":[1,1]}}");
}

Test(mirror_text, damaged_metadata_and_counts_are_refused)
{
    struct cluster_restored restored;
    cr_assert_eq(parse(NODE_BEGIN NODE_END, &restored), 0, "what is damaged below is whole here");
    static const char *const damaged[] = {
        NODE_START "\"queued\":0,\"running\":0," NODE_END,
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":[]," NODE_END,
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":{\"cpu_cores\":-1}," NODE_END,
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":{\"cpu_cores\":1e31}," NODE_END,
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":{\"cpu_cores\":\"8\"}," NODE_END,
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":{\"cpu_use\":0,\"cpu_use\":0}," NODE_END,
        NODE_START "\"queued\":-1,\"running\":0,\"metadata\":{}," NODE_END,
        NODE_START "\"queued\":4294967296,\"running\":0,\"metadata\":{}," NODE_END,
        NODE_START "\"queued\":0,\"running\":0.5,\"metadata\":{}," NODE_END,
    };
    for (size_t i = 0; i < ARRAY_COUNT(damaged); i++)
        check_refused("127.0.0.1:1", damaged[i]);
}

Test(mirror_text, metadata_that_we_do_not_know_are_passed_over)
{
    struct cluster_restored restored;
    static const char text[] =
        NODE_START "\"queued\":0,\"running\":0,\"metadata\":{\"colour\":\"blue\",\"cpu_cores\":8}," NODE_END;
    cr_assert_eq(parse(text, &restored), 0);
    cr_assert_eq(restored.metadata_count, 1);
    cr_assert_eq(restored.metadata[0].key, WIRE_METADATA_CPU_CORES);
    cr_assert_eq(restored.metadata[0].value, 8.0f);
}

Test(mirror_text, damaged_words_of_operators_are_refused)
{
    struct wire_admin admin;
    char reason[NODE_REASON_BYTES_MAX + 1];
    static const char *const texts[] = {"", "{}", "{\"version_ms\":0,\"writer\":\"0000000000000001\",\"drain\":true}",
                                        "{\"version_ms\":1,\"writer\":\"1\",\"drain\":true}",
                                        "{\"version_ms\":1,\"writer\":\"0000000000000001\",\"drain\":true,\"weight\":-1}"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        cr_assert_eq(mirror_admin_parse(texts[i], strlen(texts[i]), &admin, reason), -EINVAL, "%s", texts[i]);
}

Test(mirror_text, node_comes_back_as_it_was)
{
    uint32_t slot, index;
    struct buffer text = {.length = 0};
    struct cluster_restored restored;
    cr_assert_eq(services_put_name(&fixture->cluster->services, "echo", 4, &index), 0);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 0.1f);
    heartbeat.kind = WIRE_NODE_DISPATCHER;
    heartbeat.node_flags = WIRE_NODE_NO_ECHO;
    heartbeat.service_count = 2;
    heartbeat.services[1] = (struct wire_service_load){.service_id = 0xabcdef, .work_s = 2, .rate = 3};
    heartbeat.jobs_queued = 3;
    heartbeat.jobs_running = 2;
    heartbeat.metadata_count = 2;
    heartbeat.metadata[0] = (struct wire_metadata){.key = WIRE_METADATA_CPU_USE, .value = 0.5f};
    heartbeat.metadata[1] = (struct wire_metadata){.key = WIRE_METADATA_CPU_CORES, .value = 16};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    const struct node *node = &fixture->cluster->nodes[slot];
    cr_assert_eq(mirror_node_print(fixture->cluster, node, &text), 0);
    cr_assert_eq(
        mirror_node_parse(&fixture->cluster->services, "10.0.0.1:7500", (const char *)text.bytes, text.length, &restored), 0);
    cr_assert_eq(restored.kind, WIRE_NODE_DISPATCHER);
    cr_assert_eq(restored.flags, WIRE_NODE_NO_ECHO);
    cr_assert_eq(restored.boot.boot_id, node->boot.boot_id);
    cr_assert_eq(restored.boot.sequence, node->boot.sequence);
    cr_assert_eq(restored.load_index, 0.1f);
    cr_assert_eq(restored.service_count, 2);
    cr_assert_eq(restored.services[0].service_id, fixture_service("echo"));
    cr_assert_eq(restored.services[1].service_id, 0xabcdef);
    cr_assert_eq(restored.services[1].rate, 3.0f);
    cr_assert_eq(restored.jobs_queued, 3);
    cr_assert_eq(restored.jobs_running, 2);
    cr_assert_eq(restored.metadata_count, 2);
    cr_assert_eq(restored.metadata[0].key, WIRE_METADATA_CPU_USE);
    cr_assert_eq(restored.metadata[0].value, 0.5f);
    cr_assert_eq(restored.metadata[1].key, WIRE_METADATA_CPU_CORES);
    cr_assert_eq(restored.metadata[1].value, 16.0f);
    buffer_done(&text);
}

Test(mirror_text, word_of_an_operator_comes_back_as_it_was)
{
    struct address address = fixture_address(1);
    struct buffer text = {.length = 0};
    struct wire_admin admin;
    char reason[NODE_REASON_BYTES_MAX + 1];
    uint32_t slot = fixture_beat(fixture, 1, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "new \"disk\""), 0);
    cr_assert_eq(mirror_admin_print(&fixture->cluster->nodes[slot], &text), 0);
    cr_assert_eq(mirror_admin_parse((const char *)text.bytes, text.length, &admin, reason), 0);
    cr_assert_eq(admin.version_ms, fixture->now.wall_ms);
    cr_assert_eq(admin.writer_rm_id, 77);
    cr_assert_eq(admin.flags, WIRE_ADMIN_DRAIN);
    cr_assert_str_eq(reason, "new \"disk\"");
    buffer_done(&text);
}

/* Whether the batch has a command of this kind, and how many words it has. */
static uint32_t command_words(const struct mirror_batch *batch, enum mirror_command kind)
{
    struct redis_command command = {.word_count = 0};
    uint32_t words = mirror_batch_command(batch, kind, &command) ? command.word_count : 0;
    redis_command_done(&command);
    return words;
}

Test(mirror_batch, nothing_changed_needs_no_command)
{
    struct mirror_batch batch;
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(batch.count, 0);
    for (enum mirror_command kind = 0; kind < MIRROR_COMMANDS; kind++)
        cr_assert_eq(command_words(&batch, kind), 0);
}

Test(mirror_batch, node_goes_once_however_often_it_changed)
{
    struct mirror_batch batch;
    for (uint32_t i = 0; i < 10; i++)
        fixture_beat(fixture, 1, (float)i);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(batch.count, 1);
    cr_assert_eq(command_words(&batch, MIRROR_BEATS_ADD), 4);
    cr_assert_eq(command_words(&batch, MIRROR_LOADS_ADD), 4);
    cr_assert_eq(command_words(&batch, MIRROR_NODES_SET), 4);
    cr_assert_eq(command_words(&batch, MIRROR_LOADS_REMOVE), 0);
    cr_assert_eq(command_words(&batch, MIRROR_ADMIN_SET), 0);
    cr_assert_eq(fixture->cluster->dirty.count, 0);
}

Test(mirror_batch, score_is_the_arrival_by_the_clock_of_redis)
{
    static const char expected[] = "*4\r\n$4\r\nZADD\r\n$13\r\nusher:1:beats\r\n$13\r\n1700000000123\r\n$13\r\n10.0.0.1:7500\r\n";
    struct redis_command command = {.word_count = 0};
    struct mirror_batch batch;
    const uint8_t *bytes;
    size_t length;
    fixture_beat(fixture, 1, 1);
    int64_t offset_ms = INT64_C(1700000000123) - (int64_t)(fixture->now.ns / NS_PER_MS);
    fixture->now.ns += NS_PER_S;
    mirror_batch_take(fixture->cluster, 1, offset_ms, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert(mirror_batch_command(&batch, MIRROR_BEATS_ADD, &command));
    cr_assert_eq(redis_command_finish(&command, &bytes, &length), 0);
    cr_assert_eq(length, sizeof(expected) - 1);
    cr_assert_arr_eq(bytes, expected, length);
    redis_command_done(&command);
}

Test(mirror_batch, faulty_node_moves_to_the_fault_list_and_back)
{
    struct mirror_batch batch;
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    fixture_pass(fixture, FIXTURE_VALID_NS + NS_PER_S / 10);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(command_words(&batch, MIRROR_LOADS_REMOVE), 4);
    cr_assert_eq(command_words(&batch, MIRROR_FAULTS_ADD), 7);
    cr_assert_eq(command_words(&batch, MIRROR_BEATS_ADD), 0);
    fixture_beat(fixture, 1, 1);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(command_words(&batch, MIRROR_FAULTS_REMOVE), 3);
    cr_assert_eq(command_words(&batch, MIRROR_BEATS_ADD), 4);
}

/* The node heartbeats here, and another rm, which it does not reach, has put it there. */
Test(mirror_batch, living_node_leaves_the_fault_list_whoever_put_it_there)
{
    struct mirror_batch batch;
    fixture_beat(fixture, 1, 1);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    fixture->now.ns += MIRROR_METADATA_INTERVAL_NS;
    fixture_beat(fixture, 1, 1);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(command_words(&batch, MIRROR_FAULTS_REMOVE), 3);
    fixture->now.ns += MIRROR_METADATA_INTERVAL_NS / 2;
    fixture_beat(fixture, 1, 1);
    mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
    cr_assert_eq(command_words(&batch, MIRROR_FAULTS_REMOVE), 0, "with the metadata, not with every heartbeat");
}

Test(mirror_batch, many_nodes_come_in_batches)
{
    struct mirror_batch batch;
    uint32_t total = 0;
    for (uint32_t i = 0; i < 1000; i++)
        fixture_beat(fixture, i, 1);
    do {
        mirror_batch_take(fixture->cluster, 1, 0, fixture->now.ns, UINT32_MAX, UINT32_MAX, &batch);
        cr_assert_leq(command_words(&batch, MIRROR_BEATS_ADD), 2 + 2 * 500);
        total += batch.count;
    } while (batch.count > 0);
    cr_assert_eq(total, 1000);
}

Test(mirror_batch, beats_expire_by_score)
{
    static const char expected[] = "*4\r\n$16\r\nZREMRANGEBYSCORE\r\n$13\r\nusher:7:beats\r\n$4\r\n-inf\r\n$5\r\n(7000\r\n";
    struct redis_command command = {.word_count = 0};
    char bound[MIRROR_SCORE_BYTES];
    const uint8_t *bytes;
    size_t length;
    mirror_expiry_bound(10000, 3000, bound);
    mirror_beats_expire(7, bound, &command);
    cr_assert_eq(redis_command_finish(&command, &bytes, &length), 0);
    cr_assert_eq(length, sizeof(expected) - 1);
    cr_assert_arr_eq(bytes, expected, length);
    redis_command_done(&command);
}
