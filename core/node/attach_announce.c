/* The heartbeats of attached servers: as announcer.c's, but that one pair of sockets serves all of them. When to send what to whom is
 * heartbeat.c's. */
#include <string.h>

#include "core/base/check.h"
#include "core/base/random.h"
#include "core/node/attach_internal.h"
#include "core/node/metadata.h"
#include "core/node/node_internal.h"
#include "core/wire/service.h"

/* So many intervals' heartbeats are not lost by chance, while the node's own are answered. */
#define UNHEARD_INTERVALS 5u

/* Request IDs: whose heartbeat it is, and its sequence. */
#define SEQUENCE_BITS 48

static uint64_t request_id_of(const struct attached *server, uint64_t sequence)
{
    return (uint64_t)(server->index + 1) << SEQUENCE_BITS | sequence;
}

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

static void fill_register(const struct attached *server, uint64_t sequence, struct wire_register *ret_registration)
{
    struct wire_register registration = {
        .node = server->address,
        .kind = WIRE_NODE_WORKER,
        .node_flags = flags_of(server),
        .slots = (uint16_t)server->all->config->slots,
        .service_count = (uint8_t)server->check_count,
        .trailer = {.boot_id = server->boot_id, .sequence = sequence},
    };
    for (uint32_t i = 0; i < server->check_count; i++) {
        struct wire_service_name *name = &registration.services[i];
        name->length = (uint8_t)strlen(server->checks[i]->target->name);
        memcpy(name->text, server->checks[i]->target->name, sizeof(name->text));
    }
    *ret_registration = registration;
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

static void fill_heartbeat(struct attached *server, uint64_t sequence, struct wire_heartbeat *ret_heartbeat)
{
    struct wire_heartbeat heartbeat = {
        .node = server->address,
        .kind = WIRE_NODE_WORKER,
        .node_flags = flags_of(server),
        .slots = (uint16_t)server->all->config->slots,
        .timestamp_ms = loop_wall_ms(server->all->node->loop),
        .admin = server->heartbeats.admin,
        .trailer = {.boot_id = server->boot_id, .sequence = sequence},
    };
    add_load(server, &heartbeat);
    *ret_heartbeat = heartbeat;
}

static void publish(struct attached *server)
{
    uint32_t reached = 0;
    for (uint32_t i = 0; i < server->heartbeats.rm_count; i++)
        reached += server->heartbeats.rms[i].state == HEARTBEAT_REACHED;
    atomic_store_explicit(&server->rm_count, reached, memory_order_relaxed);
    atomic_store_explicit(&server->admin_drain, (server->heartbeats.admin.flags & WIRE_ADMIN_DRAIN) != 0, memory_order_relaxed);
}

/* No room in the send pool: counted by the loop, and the next one is not far. */
static bool send_datagram(struct attached *server, uint32_t rm_index, const uint8_t *bytes, int length)
{
    const struct address *rm = &server->heartbeats.rms[rm_index].address;
    CHECK(length > 0); /* all limits were checked at start */
    return udp_send(rm->family == ADDRESS_IPV4 ? server->all->udp_ipv4 : server->all->udp_ipv6, rm, bytes, (uint32_t)length) == 0;
}

static bool send_register(struct attached *server, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct wire_register registration;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    fill_register(server, sequence, &registration);
    if (server->rm_https[rm_index] != NULL)
        return rm_http_register(server->rm_https[rm_index], &registration);
    return send_datagram(
        server, rm_index, bytes,
        wire_register_encode(&registration, request_id_of(server, sequence), padded_length, bytes, sizeof(bytes)));
}

static bool send_heartbeat(struct attached *server, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct wire_heartbeat heartbeat;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    fill_heartbeat(server, sequence, &heartbeat);
    if (server->rm_https[rm_index] != NULL)
        return rm_http_beat(server->rm_https[rm_index], &heartbeat);
    return send_datagram(server, rm_index, bytes,
                         wire_heartbeat_encode(&heartbeat, request_id_of(server, sequence), padded_length, bytes, sizeof(bytes)));
}

/* Whether an rm answers this node, but nothing of what it says of the server: it believes another one that speaks for it. */
static void unheard_note(struct attached *server, uint32_t rm_index)
{
    const struct heartbeats *own = &server->all->node->heartbeats;
    const struct heartbeat_rm *rm = &server->heartbeats.rms[rm_index], *own_rm = &own->rms[rm_index];
    uint64_t limit_ns = rm->heard_ns + UNHEARD_INTERVALS * own->interval_ns;
    uint8_t bit = (uint8_t)(1u << rm_index), before = server->unheard;
    if (rm->state == HEARTBEAT_LOST && own_rm->state == HEARTBEAT_REACHED && own_rm->heard_ns > limit_ns)
        server->unheard |= bit;
    else if (rm->state == HEARTBEAT_REACHED)
        server->unheard &= (uint8_t)~bit;
    if ((before == 0) != (server->unheard == 0))
        attach_report(server, before == 0 ? ATTACH_EVENT_UNHEARD : ATTACH_EVENT_HEARD, NULL, &rm->address, NULL);
}

static void send_to(struct attached *server, uint32_t rm_index)
{
    struct node *node = server->all->node;
    uint64_t sequence = 0;
    uint32_t padded_length = 0;
    bool changed; /* that an rm is silent the node's own heartbeats tell */
    unheard_note(server, rm_index);
    enum heartbeat_message message =
        heartbeats_take(&server->heartbeats, rm_index, loop_now_ns(node->loop), &sequence, &padded_length, &changed);
    if (message == HEARTBEAT_REGISTER && send_register(server, rm_index, sequence, padded_length))
        counter_add(&node->counters, COUNTER_REGISTERS_SENT, 1);
    else if (message == HEARTBEAT_BEAT && send_heartbeat(server, rm_index, sequence, padded_length))
        counter_add(&node->counters, COUNTER_HEARTBEATS_SENT, 1);
}

static void send_due(struct attached *server)
{
    for (uint32_t i = 0; i < server->heartbeats.rm_count; i++) /* in the order of announcer.c */
        if (server->rm_https[i] != NULL)
            send_to(server, i);
    for (uint32_t i = 0; i < server->heartbeats.rm_count; i++)
        if (server->rm_https[i] == NULL)
            send_to(server, i);
    timer_start(server->all->node->loop, &server->timer, heartbeats_due_ns(&server->heartbeats));
    publish(server);
}

static void on_time(void *ctx, struct timer *timer)
{
    (void)timer;
    send_due(ctx);
}

static void take_ack(struct attached *server, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    struct node *node = server->all->node;
    bool changed;
    bool counts = heartbeats_on_ack(&server->heartbeats, rm_index, ack, loop_now_ns(node->loop), &changed) == 0;
    counter_add(&node->counters, counts ? COUNTER_HEARTBEAT_ACKS : COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
}

static void take_error(struct attached *server, uint32_t rm_index, uint64_t sequence, const char *text)
{
    struct node *node = server->all->node;
    bool changed;
    if (heartbeats_on_error(&server->heartbeats, rm_index, sequence, loop_now_ns(node->loop), &changed) < 0) {
        counter_add(&node->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    counter_add(&node->counters, COUNTER_HEARTBEATS_REFUSED, 1);
    if (changed)
        attach_report(server, ATTACH_EVENT_REFUSED, NULL, &server->heartbeats.rms[rm_index].address, text);
}

/* Something was heard: what is due now may have changed. */
static void heard(struct attached *server)
{
    timer_start(server->all->node->loop, &server->timer, heartbeats_due_ns(&server->heartbeats));
    publish(server);
}

static void on_http_ack(void *ctx, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    take_ack(ctx, rm_index, ack);
    heard(ctx);
}

static void on_http_error(void *ctx, uint32_t rm_index, uint64_t sequence, const char *text)
{
    take_error(ctx, rm_index, sequence, text);
    heard(ctx);
}

static void on_ack(struct attached *server, uint32_t rm_index, const struct frame *frame)
{
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    if (wire_heartbeat_ack_decode(frame, &ack, &refusal) < 0)
        counter_add(&server->all->node->counters, refusal_counter(refusal), 1);
    else
        take_ack(server, rm_index, &ack);
}

static void on_error(struct attached *server, uint32_t rm_index, const struct frame *frame)
{
    char text[ANNOUNCER_TEXT_BYTES];
    if (announcer_read_error(server->all->node, frame, text))
        take_error(server, rm_index, frame->request_id & ((UINT64_C(1) << SEQUENCE_BITS) - 1), text);
}

static void on_frame(struct attachments *attachments, const struct address *peer, const struct frame *frame)
{
    struct counters *counters = &attachments->node->counters;
    uint64_t number = frame->request_id >> SEQUENCE_BITS;
    struct attached *server = number >= 1 && number <= attachments->server_count ? &attachments->servers[number - 1] : NULL;
    uint32_t rm_index = server != NULL ? heartbeats_find(&server->heartbeats, peer) : HEARTBEAT_RMS_MAX;
    if (rm_index == HEARTBEAT_RMS_MAX || server->rm_https[rm_index] != NULL) {
        counter_add(counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    if (frame->type == FRAME_TYPE_HEARTBEAT_ACK)
        on_ack(server, rm_index, frame);
    else if (frame->type == FRAME_TYPE_ERROR)
        on_error(server, rm_index, frame);
    else
        counter_add(counters, COUNTER_FRAMES_UNWANTED, 1);
    heard(server);
}

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct attachments *attachments = ctx;
    (void)udp;
    for (uint32_t at = 0; at < length;) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_datagram(bytes + at, length - at, &frame, &refusal);
        if (r < 0) {
            counter_add(&attachments->node->counters, refusal_counter(refusal), 1);
            return;
        }
        at += (uint32_t)r;
        on_frame(attachments, peer, &frame);
    }
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
    uint64_t due_ns = node->heartbeats.rms[0].due_ns, interval_ns = node->config.heartbeat_ns;
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
    uint64_t now_ns = loop_now_ns(node->loop);
    if (!server->announced) {
        if (!is_ready_to_be_announced(server))
            return;
        heartbeats_init(&server->heartbeats, node->config.rms, node->config.rm_count, node->config.region,
                        node->config.heartbeat_ns, phase_of(node, now_ns), now_ns);
        server->announced = true;
    } else if (server->all->leaving) {
        heartbeats_hasten(&server->heartbeats, now_ns);
    } else {
        heartbeats_change(&server->heartbeats, now_ns);
    }
    send_due(server);
}

static int carriers_open(struct attached *server)
{
    const struct node_config *config = &server->all->node->config;
    struct rm_http_config http = {
        .loop = server->all->node->loop,
        .node = server->address,
        .on_ack = on_http_ack,
        .on_error = on_http_error,
        .ctx = server,
    };
    return rm_http_open(&http, config->rms, config->rm_count, config->rm_http, server->rm_https);
}

int attach_announcer_start(struct attachments *attachments)
{
    const struct node_config *config = &attachments->node->config;
    struct random_state random;
    int r = 0;
    random_init_from_kernel(&random);
    for (uint32_t i = 0; i < attachments->server_count && r == 0; i++) {
        struct attached *server = &attachments->servers[i];
        server->boot_id = random_next(&random) | 1;
        timer_init(&server->timer, on_time, server);
        r = carriers_open(server);
    }
    for (uint32_t i = 0; i < config->rm_count && r == 0; i++) {
        enum address_family family = config->rms[i].family;
        struct udp **udp = family == ADDRESS_IPV4 ? &attachments->udp_ipv4 : &attachments->udp_ipv6;
        if ((config->rm_http >> i & 1) == 0 && *udp == NULL)
            r = announcer_open_socket(attachments->node, family, on_datagram, attachments, udp);
    }
    return r;
}

void attach_announcer_stop(struct attachments *attachments)
{
    for (uint32_t i = 0; i < attachments->server_count; i++) {
        timer_stop(&attachments->servers[i].timer);
        rm_http_close(attachments->servers[i].rm_https);
    }
    if (attachments->udp_ipv4 != NULL)
        udp_close(attachments->udp_ipv4);
    if (attachments->udp_ipv6 != NULL)
        udp_close(attachments->udp_ipv6);
}
