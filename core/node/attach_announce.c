/* What the heartbeats of attached servers say, and what answers to them mean: as announcer.c for the node's own, but that one pair of sockets
 * serves all of them. */
#include <string.h>

#include "core/base/random.h"
#include "core/node/attach_internal.h"
#include "core/node/metadata.h"
#include "core/node/node_internal.h"
#include "core/wire/service.h"

/* So many intervals' heartbeats are not lost by chance, while the node's own are answered. */
#define UNHEARD_INTERVALS 5u

/* Request IDs: whose heartbeat it is, and its sequence. */
#define SEQUENCE_BITS 48

static bool offers(const struct attached *server, uint32_t check)
{
    return server->checks[check]->health.up;
}

bool attach_is_up(const struct attached *server)
{
    for (uint32_t i = 0; i < server->check_count; i++)
        if (offers(server, i))
            return true;
    return false;
}

static uint8_t flags_of(const struct attached *server)
{
    return server->all->leaving || !attach_is_up(server) ? WIRE_NODE_NO_ECHO | WIRE_NODE_DRAINING : WIRE_NODE_NO_ECHO;
}

static void fill_register(void *ctx, struct wire_register *registration)
{
    const struct attached *server = ctx;
    registration->kind = WIRE_NODE_WORKER;
    registration->node_flags = flags_of(server);
    registration->slots = (uint16_t)server->all->config->slots;
    registration->service_count = (uint8_t)server->check_count;
    for (uint32_t i = 0; i < server->check_count; i++) {
        struct wire_service_name *name = &registration->services[i];
        name->length = (uint8_t)strlen(server->checks[i]->target->name);
        memcpy(name->text, server->checks[i]->target->name, sizeof(name->text));
    }
}

/* All services while none is up: the node is DRAINING then, and stays known for what it is. */
static void add_services(const struct attached *server, struct wire_heartbeat *heartbeat)
{
    bool up = attach_is_up(server);
    for (uint32_t i = 0; i < server->check_count; i++) {
        const char *name = server->checks[i]->target->name;
        if (up && !offers(server, i))
            continue;
        /* Work and rate stay 0: how long requests take nobody knows. */
        heartbeat->services[heartbeat->service_count++].service_id = service_id(name, strlen(name));
    }
}

/* What is in use takes the place of jobs. */
static void add_load(struct attached *server, struct wire_heartbeat *heartbeat)
{
    const struct node *node = server->all->node;
    const struct attach_config *config = server->all->config;
    const float *weights = node->config.load_weights;
    float in_use = (float)server->in_use;
    heartbeat->load_per_job = weights[LOAD_QUEUE] / (float)config->slots;
    heartbeat->load_index = heartbeat->load_per_job * in_use;
    heartbeat->jobs_running = (uint32_t)in_use;
    if (server->is_local && config->load != ATTACH_LOAD_NONE) {
        for (uint32_t part = 0; part < LOAD_QUEUE; part++)
            heartbeat->load_index += weights[part] * node->report.mean[part];
        metadata_add_host(heartbeat, &node->report, resources_report(node->resources));
    }
    metadata_add(heartbeat, WIRE_METADATA_QUEUE_LENGTH, in_use);
    add_services(server, heartbeat);
    atomic_store_explicit(&server->load_index, heartbeat->load_index, memory_order_relaxed);
}

static void fill_heartbeat(void *ctx, struct wire_heartbeat *heartbeat)
{
    struct attached *server = ctx;
    heartbeat->kind = WIRE_NODE_WORKER;
    heartbeat->node_flags = flags_of(server);
    heartbeat->slots = (uint16_t)server->all->config->slots;
    add_load(server, heartbeat);
}

static void publish(void *ctx)
{
    struct attached *server = ctx;
    const struct heartbeats *heartbeats = &server->announcement.heartbeats;
    uint32_t reached = 0;
    for (uint32_t i = 0; i < heartbeats->rm_count; i++)
        reached += heartbeats->rms[i].state == HEARTBEAT_REACHED;
    atomic_store_explicit(&server->rm_count, reached, memory_order_relaxed);
    atomic_store_explicit(&server->admin_drain, (heartbeats->admin.flags & WIRE_ADMIN_DRAIN) != 0, memory_order_relaxed);
}

/* Whether an rm answers this node, but nothing of what it says of the server: it believes another one that speaks for it. That an rm is
 * silent altogether the node's own heartbeats tell. */
static void unheard_note(void *ctx, uint32_t rm_index)
{
    struct attached *server = ctx;
    const struct heartbeats *own = &server->all->node->announcement.heartbeats;
    const struct heartbeat_rm *rm = &server->announcement.heartbeats.rms[rm_index], *own_rm = &own->rms[rm_index];
    uint64_t limit_ns = rm->heard_ns + UNHEARD_INTERVALS * own->interval_ns;
    uint8_t bit = (uint8_t)(1u << rm_index), before = server->unheard;
    if (rm->state == HEARTBEAT_LOST && own_rm->state == HEARTBEAT_REACHED && own_rm->heard_ns > limit_ns)
        server->unheard |= bit;
    else if (rm->state == HEARTBEAT_REACHED)
        server->unheard &= (uint8_t)~bit;
    if ((before == 0) != (server->unheard == 0))
        attach_report(server, before == 0 ? ATTACH_EVENT_UNHEARD : ATTACH_EVENT_HEARD, NULL, &rm->address, NULL);
}

static void on_error(void *ctx, uint32_t rm_index, const char *text)
{
    const struct attached *server = ctx;
    attach_report(server, ATTACH_EVENT_REFUSED, NULL, &server->announcement.heartbeats.rms[rm_index].address, text);
}

static const struct announcement_events events = {
    .fill_register = fill_register,
    .fill_heartbeat = fill_heartbeat,
    .on_turn = unheard_note,
    .on_error = on_error,
    .on_look = publish,
};

static struct announcement *find(void *ctx, uint64_t request_id)
{
    struct attachments *attachments = ctx;
    uint64_t number = request_id >> SEQUENCE_BITS;
    return number >= 1 && number <= attachments->server_count ? &attachments->servers[number - 1].announcement : NULL;
}

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct attachments *attachments = ctx;
    (void)udp;
    announcement_read(&attachments->node->counters, peer, bytes, length, find, attachments);
}

static bool all_checks_ended(const struct attached *server)
{
    for (uint32_t i = 0; i < server->check_count; i++)
        if (!server->checks[i]->health.known)
            return false;
    return true;
}

/* At the same times as the node's own: what the servers of a machine share, its CPU, is then the same in what is said of each, and does
 * not make one of them look better whose turn came at a quieter moment. */
static double phase_of(const struct node *node, uint64_t now_ns)
{
    uint64_t due_ns = node->announcement.heartbeats.rms[0].due_ns, interval_ns = node->config.heartbeat_ns;
    return due_ns > now_ns ? (double)((due_ns - now_ns) % interval_ns) / (double)interval_ns : 0;
}

/* Not before something can be said of it: whether it is up, and if so how loaded it is, or that this can't be had. Else the first heartbeat
 * would call a server full that is idle. */
static bool is_ready_to_be_announced(const struct attached *server)
{
    if (!attach_is_up(server))
        return all_checks_ended(server);
    return server->all->config->load != ATTACH_LOAD_METRIC || server->metric_asked;
}

void attach_announce(struct attached *server)
{
    const struct node *node = server->all->node;
    struct heartbeats *heartbeats = &server->announcement.heartbeats;
    uint64_t now_ns = loop_now_ns(node->loop);
    if (!server->announced) {
        if (!is_ready_to_be_announced(server))
            return;
        heartbeats_init(heartbeats, node->config.rms, node->config.rm_count, node->config.region, node->config.heartbeat_ns,
                        phase_of(node, now_ns), now_ns);
        server->announced = true;
    } else if (server->all->leaving) {
        heartbeats_hasten(heartbeats, now_ns);
    } else {
        heartbeats_change(heartbeats, now_ns);
    }
    announcement_send(&server->announcement);
    publish(server);
}

int attach_announcer_start(struct attachments *attachments)
{
    const struct node *node = attachments->node;
    struct random_state random;
    int r = 0;
    random_init_from_kernel(&random);
    attachments->sockets = (struct announcement_sockets){
        .loop = node->loop,
        .bind_ip = node->config.bind_ip,
        .on_answer = on_datagram,
        .ctx = attachments,
    };
    for (uint32_t i = 0; i < attachments->server_count && r == 0; i++) {
        struct attached *server = &attachments->servers[i];
        server->announcement = (struct announcement){
            .events = &events,
            .ctx = server,
            .loop = node->loop,
            .counters = &attachments->node->counters,
            .sockets = &attachments->sockets,
            .node = server->address,
            .boot_id = random_next(&random) | 1,
            .request_base = (uint64_t)(server->index + 1) << SEQUENCE_BITS,
        };
        r = announcement_open(&server->announcement, node->config.rms, node->config.rm_count, node->config.rm_http);
    }
    return r;
}

void attach_announcer_stop(struct attachments *attachments)
{
    for (uint32_t i = 0; i < attachments->server_count; i++)
        announcement_close(&attachments->servers[i].announcement);
    announcement_sockets_close(&attachments->sockets);
}
