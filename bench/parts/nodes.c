#include "bench/parts/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/hash.h"
#include "core/policy/shares.h"
#include "core/wire/service.h"

const uint32_t micro_node_counts[MICRO_NODE_COUNTS] = {10, 100, 1000, 10000, 100000};

uint64_t micro_service_id(uint32_t index)
{
    static const char *const names[MICRO_SERVICES] = {"echo", "render", "transcode", "search"};
    return service_id(names[index], strlen(names[index]));
}

struct node_report micro_node_report(uint32_t slot, uint64_t sequence)
{
    uint64_t noise = hash_mix(slot * UINT64_C(0x9e3779b97f4a7c15) + sequence);
    float load = (float)(noise & 0xffff) / 32768;
    return (struct node_report){.load_index = load, .load_per_job = 0.01f, .below_mask = load < 1 ? UINT32_MAX : 0};
}

static size_t values_bytes(uint32_t count)
{
    return count * sizeof(struct node_values);
}

int micro_nodes_view(const struct micro_nodes *nodes, struct view **ret_view)
{
    struct snapshot_offer *offers = calloc((size_t)nodes->count * MICRO_SERVICES, sizeof(*offers));
    struct snapshot *snapshot = NULL;
    struct location *location = NULL;
    uint32_t offer_count = 0;
    int error = offers ? 0 : -ENOMEM;
    for (uint32_t slot = 0; slot < nodes->count && error == 0; slot++)
        for (uint32_t i = 0; i < MICRO_SERVICES; i++)
            offers[offer_count++] =
                (struct snapshot_offer){.service_id = micro_service_id(i), .slot = slot, .service_ordinal = (uint8_t)i};
    if (error == 0)
        error = snapshot_new(nodes->count, offers, offer_count, &snapshot);
    if (error == 0)
        error = location_new(1, NULL, NULL, 0, &location);
    if (error == 0)
        error = view_new(snapshot, location, ret_view);
    free(offers);
    if (error < 0) {
        location_free(location);
        snapshot_free(snapshot);
        return error;
    }
    (*ret_view)->retires_snapshot = (*ret_view)->retires_location = true;
    return 0;
}

static int shares_make(struct micro_nodes *nodes)
{
    float *weights = malloc(nodes->count * sizeof(*weights));
    double total = 0;
    nodes->shares = malloc(nodes->count * sizeof(*nodes->shares) * MICRO_SERVICES);
    if (!weights || !nodes->shares) {
        free(weights);
        return -ENOMEM;
    }
    for (uint32_t slot = 0; slot < nodes->count; slot++) {
        weights[slot] = 2 - micro_node_report(slot, 0).load_index;
        total += (double)weights[slot];
    }
    for (uint32_t i = 0; i < MICRO_SERVICES; i++) {
        const struct snapshot_service *service = snapshot_service_find(nodes->view->snapshot, micro_service_id(i));
        struct snapshot_share *shares = &nodes->shares[(size_t)i * nodes->count];
        struct shares_build build;
        for (uint32_t k = 0; k < nodes->count; k++)
            shares[k] = share_whole(service->members[k]);
        shares_begin(&build, service->members, weights, total, shares, nodes->count);
        while (!shares_continue(&build, nodes->count))
            continue;
        snapshot_put(nodes->view->snapshot, service->service_id, service->members, shares, nodes->count);
    }
    free(weights);
    return 0;
}

/* Jobs so short that picks without end, to which no reports come, don't fill the nodes up. */
#define JOB_S 1e-6f
#define SLOTS 64u

static void finish_report(struct micro_nodes *nodes, uint32_t slot)
{
    struct finish_track track = {0};
    struct finish_report report = {
        .boot_id = 1,
        .slots = SLOTS,
        .jobs = SLOTS,
        .echoes = true,
        .work_s = micro_node_report(slot, 0).load_index * SLOTS * 1e-3f,
        .queue_factor = 1,
        .kind = micro_service_id(0),
        .service_count = MICRO_SERVICES,
    };
    for (uint32_t i = 0; i < MICRO_SERVICES; i++)
        report.job_s[i] = JOB_S;
    (void)!finish_time_report(&nodes->finish, &nodes->values[slot], &track, &report, 0); /* no node is idle */
}

int micro_nodes_init(struct micro_nodes *nodes, uint32_t count)
{
    *nodes = (struct micro_nodes){.count = count};
    /* As the dispatcher has them: pages of their own, filled as they are touched. */
    void *memory = mmap(NULL, values_bytes(count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    nodes->values = memory;
    struct idle_tokens *tokens;
    if (idle_tokens_new(&tokens) < 0) {
        micro_nodes_done(nodes);
        return -ENOMEM;
    }
    finish_time_init(&nodes->finish, tokens);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct node_report report = micro_node_report(slot, 0);
        nodes->values[slot].address = (struct address){
            .family = ADDRESS_IPV4, .port = 7500, .ip = {10, (uint8_t)(slot >> 16), (uint8_t)(slot >> 8), (uint8_t)slot}};
        node_values_apply(&nodes->values[slot], &report);
        finish_report(nodes, slot);
    }
    int error = micro_nodes_view(nodes, &nodes->view);
    if (error == 0)
        error = shares_make(nodes);
    if (error < 0)
        micro_nodes_done(nodes);
    return error;
}

void micro_nodes_done(struct micro_nodes *nodes)
{
    if (nodes->view)
        view_free(nodes->view);
    free(nodes->shares);
    idle_tokens_free(nodes->finish.tokens);
    munmap(nodes->values, values_bytes(nodes->count));
}
