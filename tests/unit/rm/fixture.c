#include "tests/unit/rm/fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/service.h"

static void on_event(void *ctx, enum cluster_event event, uint32_t slot)
{
    struct fixture *fixture = ctx;
    (void)slot;
    fixture->events[event]++;
}

struct fixture *fixture_new(bool no_protection)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    cr_assert_not_null(fixture);
    fixture->now = (struct cluster_time){.ns = 1000 * NS_PER_S, .wall_ms = UINT64_C(1700000000000)};
    struct cluster_config config = {.valid_ns = FIXTURE_VALID_NS,
                                    .no_protection = no_protection,
                                    .weight_factors = {0.125f, 0.03125f, 0.001f, 0.0008f},
                                    .rm_id = 77,
                                    .on_event = on_event,
                                    .ctx = fixture};
    cr_assert_eq(cluster_new(&config, fixture->now.ns, &fixture->cluster), 0);
    return fixture;
}

void fixture_free(struct fixture *fixture)
{
    cluster_free(fixture->cluster);
    free(fixture);
}

struct subscribers *fixture_subscribers(struct fixture *fixture, struct loop *loop, struct counters *counters,
                                        uint64_t patience_ns)
{
    struct subscribers *subscribers;
    struct subscribers_config config = {.connections_max = SUBSCRIBERS_MAX,
                                        .loop = loop,
                                        .listen = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}},
                                        .cluster = fixture->cluster,
                                        .counters = counters,
                                        .rm_id = fixture->cluster->config.rm_id,
                                        .epoch = 5,
                                        .region = 1,
                                        .patience_ns = patience_ns};
    cr_assert_eq(subscribers_new(&config, &subscribers), 0);
    return subscribers;
}

void fixture_pass(struct fixture *fixture, uint64_t duration_ns)
{
    uint64_t until_ns = fixture->now.ns + duration_ns;
    uint64_t step_ns = cluster_sweep_interval_ns(&fixture->cluster->config);
    while (fixture->now.ns < until_ns) {
        uint64_t left_ns = until_ns - fixture->now.ns;
        uint64_t this_ns = left_ns < step_ns ? left_ns : step_ns;
        fixture->now.ns += this_ns;
        fixture->now.wall_ms += this_ns / NS_PER_MS;
        while (cluster_sweep(fixture->cluster, fixture->now))
            ;
        while (cluster_averages_step(fixture->cluster, fixture->now.ns, 1000))
            ;
    }
}

struct address fixture_address(uint32_t number)
{
    return (struct address){.family = ADDRESS_IPV4, .port = 7500, .ip = {10, 0, (uint8_t)(number >> 8), (uint8_t)number}};
}

uint64_t fixture_service(const char *name)
{
    return service_id(name, strlen(name));
}

struct wire_heartbeat fixture_heartbeat(struct fixture *fixture, uint32_t number, float load)
{
    return (struct wire_heartbeat){
        .node = fixture_address(number),
        .kind = WIRE_NODE_WORKER,
        .slots = 4,
        .timestamp_ms = fixture->now.wall_ms,
        .load_index = load,
        .service_count = 1,
        .services = {{.service_id = fixture_service("echo"), .work_s = load, .rate = 1}},
        .trailer = {.boot_id = number + 1, .sequence = ++fixture->sequence},
    };
}

uint32_t fixture_beat(struct fixture *fixture, uint32_t number, float load)
{
    uint32_t slot = NODE_NONE;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, number, load);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    return slot;
}

static const struct node *fixture_node(const struct fixture *fixture, uint32_t number)
{
    struct address address = fixture_address(number);
    uint32_t slot = cluster_find(fixture->cluster, &address);
    return slot != NODE_NONE ? &fixture->cluster->nodes[slot] : NULL;
}

enum node_state fixture_state(const struct fixture *fixture, uint32_t number)
{
    const struct node *node = fixture_node(fixture, number);
    return node ? (enum node_state)node->state : NODE_STATES;
}

bool fixture_below(const struct fixture *fixture, uint32_t number)
{
    const struct node *node = fixture_node(fixture, number);
    cr_assert_not_null(node);
    cr_assert_gt(node->service_count, 0);
    return node->services[0].below_average;
}
