/* Heartbeats on their way: sockets, timer, and what goes into them. When to send what to whom is heartbeat.c's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/base/random.h"
#include "core/node/metadata.h"
#include "core/node/node_internal.h"

static uint8_t node_flags(const struct node *node)
{
    uint8_t flags = 0;
    if (node->phase >= NODE_LEAVING)
        flags |= WIRE_NODE_DRAINING;
    if (node->config.no_jobs)
        flags |= WIRE_NODE_NO_JOBS;
    return flags;
}

static void fill_register(const struct node *node, uint64_t sequence, struct wire_register *ret_registration)
{
    const struct service_set *services = &node->config.services;
    struct wire_register registration = {
        .node = node->config.address,
        .kind = (uint8_t)node->config.kind,
        .node_flags = node_flags(node),
        .slots = (uint16_t)node->config.slots,
        .service_count = (uint8_t)services->count,
        .trailer = {.boot_id = node->config.boot_id, .sequence = sequence},
    };
    for (uint32_t i = 0; i < services->count; i++) {
        struct wire_service_name *name = &registration.services[i];
        name->length = (uint8_t)strlen(services->items[i].name);
        memcpy(name->text, services->items[i].name, sizeof(name->text));
    }
    *ret_registration = registration;
}

static void fill_heartbeat(const struct node *node, uint64_t sequence, struct wire_heartbeat *ret_heartbeat)
{
    const struct service_set *services = &node->config.services;
    const struct load_report *load = &node->report;
    struct wire_heartbeat heartbeat = {
        .node = node->config.address,
        .kind = (uint8_t)node->config.kind,
        .node_flags = node_flags(node),
        .slots = (uint16_t)node->config.slots,
        .timestamp_ms = loop_wall_ms(node->loop),
        .load_index = load->index,
        .load_per_job = load->per_job,
        .jobs_queued = executors_queued(node->executors),
        .jobs_running = executors_running(node->executors),
        .admin = node->heartbeats.admin,
        .service_count = (uint8_t)services->count,
        .echo_count = (uint8_t)node->dispatcher_counts.count,
        .trailer = {.boot_id = node->config.boot_id, .sequence = sequence},
    };
    for (uint32_t i = 0; i < services->count; i++)
        heartbeat.services[i] = (struct wire_service_load){
            .service_id = services->items[i].id,
            .work_s = estimate_work_s(&node->estimate, i),
            .rate = estimate_is_guess(&node->estimate, i) ? 0 : estimate_rate(&node->estimate, i),
        };
    memcpy(heartbeat.echoes, node->dispatcher_counts.echoes, node->dispatcher_counts.count * sizeof(heartbeat.echoes[0]));
    metadata_add_host(&heartbeat, load, resources_report(node->resources));
    metadata_add(&heartbeat, WIRE_METADATA_QUEUE_LENGTH, load->mean[LOAD_QUEUE]);
    *ret_heartbeat = heartbeat;
}

static void report_rm(struct node *node, uint32_t rm_index, const char *text)
{
    if (node->config.events.on_rm != NULL)
        node->config.events.on_rm(node->config.events.ctx, &node->heartbeats.rms[rm_index], text);
}

/* No room in the send pool: counted by the loop, and the next one is not far. */
static bool send_datagram(struct node *node, uint32_t rm_index, const uint8_t *bytes, int length)
{
    const struct address *rm = &node->heartbeats.rms[rm_index].address;
    CHECK(length > 0); /* all limits were checked at start */
    return udp_send(rm->family == ADDRESS_IPV4 ? node->udp_ipv4 : node->udp_ipv6, rm, bytes, (uint32_t)length) == 0;
}

static void send_register(struct node *node, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct rm_http *http = node->rm_https[rm_index];
    struct wire_register registration;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    fill_register(node, sequence, &registration);
    bool sent = http != NULL ? rm_http_register(http, &registration)
                             : send_datagram(node, rm_index, bytes,
                                             wire_register_encode(&registration, sequence, padded_length, bytes, sizeof(bytes)));
    if (sent)
        counter_add(&node->counters, COUNTER_REGISTERS_SENT, 1);
}

static void send_heartbeat(struct node *node, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct rm_http *http = node->rm_https[rm_index];
    struct wire_heartbeat heartbeat;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    estimate_look(&node->estimate, loop_now_ns(node->loop));
    teller_beat(node);
    fill_heartbeat(node, sequence, &heartbeat);
    bool sent = http != NULL ? rm_http_beat(http, &heartbeat)
                             : send_datagram(node, rm_index, bytes,
                                             wire_heartbeat_encode(&heartbeat, sequence, padded_length, bytes, sizeof(bytes)));
    if (sent)
        counter_add(&node->counters, COUNTER_HEARTBEATS_SENT, 1);
}

static void send_to(struct node *node, uint32_t rm_index)
{
    uint64_t sequence = 0;
    uint32_t padded_length = 0;
    bool changed;
    /* Samples that were taken in this batch have cost time. */
    enum heartbeat_message message =
        heartbeats_take(&node->heartbeats, rm_index, loop_now_refresh(node->loop), &sequence, &padded_length, &changed);
    if (changed)
        report_rm(node, rm_index, "");
    if (message == HEARTBEAT_REGISTER)
        send_register(node, rm_index, sequence, padded_length);
    else if (message == HEARTBEAT_BEAT)
        send_heartbeat(node, rm_index, sequence, padded_length);
}

static void send_due(struct node *node)
{
    /* Over HTTP first: where both ways lead to one rm, the later sequence is in the datagram, which overtakes. The other way round rm
     * would take that for a replay, and not answer. */
    for (uint32_t i = 0; i < node->heartbeats.rm_count; i++)
        if (node->rm_https[i] != NULL)
            send_to(node, i);
    for (uint32_t i = 0; i < node->heartbeats.rm_count; i++)
        if (node->rm_https[i] == NULL)
            send_to(node, i);
    timer_start(node->loop, &node->heartbeat_timer, heartbeats_due_ns(&node->heartbeats));
    node_publish(node);
}

static void on_heartbeat_time(void *ctx, struct timer *timer)
{
    struct node *node = ctx;
    (void)timer;
    send_due(node);
    teller_look(node);
}

void announcer_hasten(struct node *node)
{
    if (!timer_is_running(&node->heartbeat_timer))
        return; /* not started */
    heartbeats_hasten(&node->heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

void announcer_change(struct node *node)
{
    if (!timer_is_running(&node->heartbeat_timer))
        return; /* not started */
    if (!heartbeats_heed_change(&node->heartbeats) || !teller_extra(node))
        return;
    counter_add(&node->counters, COUNTER_HEARTBEATS_EXTRA_CHANGE, 1);
    heartbeats_change(&node->heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

void announcer_report(struct node *node)
{
    counter_add(&node->counters, COUNTER_HEARTBEATS_EXTRA_QUEUE, 1);
    heartbeats_change(&node->heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

static void take_ack(struct node *node, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    bool changed;
    if (heartbeats_on_ack(&node->heartbeats, rm_index, ack, loop_now_ns(node->loop), &changed) < 0) {
        counter_add(&node->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    counter_add(&node->counters, COUNTER_HEARTBEAT_ACKS, 1);
    if (node->heartbeats.rms[rm_index].state == HEARTBEAT_REACHED)
        teller_on_ack(node, ack);
    char text[ANNOUNCER_TEXT_BYTES] = "";
    if (node->heartbeats.rms[rm_index].state == HEARTBEAT_REFUSED)
        snprintf(text, sizeof(text), "it serves region %u, but this node was started with --region %u", ack->region,
                 node->heartbeats.region);
    if (changed)
        report_rm(node, rm_index, text);
}

static void take_error(struct node *node, uint32_t rm_index, uint64_t sequence, const char *text)
{
    bool changed;
    if (heartbeats_on_error(&node->heartbeats, rm_index, sequence, loop_now_ns(node->loop), &changed) < 0) {
        counter_add(&node->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    counter_add(&node->counters, COUNTER_HEARTBEATS_REFUSED, 1);
    if (changed)
        report_rm(node, rm_index, text);
}

static void on_ack(struct node *node, uint32_t rm_index, const struct frame *frame)
{
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    if (wire_heartbeat_ack_decode(frame, &ack, &refusal) < 0)
        counter_add(&node->counters, refusal_counter(refusal), 1);
    else
        take_ack(node, rm_index, &ack);
}

bool announcer_read_error(struct node *node, const struct frame *frame, char text[static ANNOUNCER_TEXT_BYTES])
{
    struct wire_error error;
    enum refusal refusal;
    if (wire_error_decode(frame, &error, &refusal) < 0) {
        counter_add(&node->counters, refusal_counter(refusal), 1);
        return false;
    }
    int code = wire_error_to_error(error.code);
    snprintf(text, ANNOUNCER_TEXT_BYTES, "it answered %s: %s", error_name(code),
             error.text_length > 0 ? error.text : error_text(code));
    return true;
}

static void on_error(struct node *node, uint32_t rm_index, const struct frame *frame)
{
    char text[ANNOUNCER_TEXT_BYTES];
    if (announcer_read_error(node, frame, text))
        take_error(node, rm_index, frame->request_id, text);
}

/* Something was heard: what is due now may have changed. */
static void heard(struct node *node)
{
    timer_start(node->loop, &node->heartbeat_timer, heartbeats_due_ns(&node->heartbeats));
    teller_look(node);
    node_publish(node);
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

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct node *node = ctx;
    (void)udp;
    uint32_t rm_index = heartbeats_find(&node->heartbeats, peer);
    if (rm_index == HEARTBEAT_RMS_MAX || node->rm_https[rm_index] != NULL) {
        counter_add(&node->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    for (uint32_t at = 0; at < length;) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_datagram(bytes + at, length - at, &frame, &refusal);
        if (r < 0) {
            counter_add(&node->counters, refusal_counter(refusal), 1);
            break;
        }
        at += (uint32_t)r;
        if (frame.type == FRAME_TYPE_HEARTBEAT_ACK)
            on_ack(node, rm_index, &frame);
        else if (frame.type == FRAME_TYPE_ERROR)
            on_error(node, rm_index, &frame);
        else
            counter_add(&node->counters, COUNTER_FRAMES_UNWANTED, 1);
    }
    heard(node);
}

/* From the service's IP where that is possible: rm sees who speaks, and firewalls are simpler. */
int announcer_open_socket(const struct node *node, enum address_family family, udp_datagram_function *on_answer, void *ctx,
                          struct udp **ret_udp)
{
    struct udp_config config;
    udp_config_init(&config);
    config.address = (struct address){.family = (uint8_t)family};
    if (node->config.bind_ip.family == family)
        config.address = node->config.bind_ip;
    config.address.port = 0;
    config.receive_buffers = 64; /* an answer for each rm, some times over */
    config.send_packets = 64;
    config.send_bytes = 65536;
    config.on_datagram = on_answer;
    config.ctx = ctx;
    return udp_open(node->loop, &config, ret_udp);
}

static int open_family(struct node *node, enum address_family family)
{
    struct udp **udp = family == ADDRESS_IPV4 ? &node->udp_ipv4 : &node->udp_ipv6;
    return *udp == NULL ? announcer_open_socket(node, family, on_datagram, node, udp) : 0;
}

bool announcer_can_send(struct node *node, enum address_family family)
{
    return open_family(node, family) == 0;
}

int announcer_start(struct node *node)
{
    const struct node_config *config = &node->config;
    struct rm_http_config http = {
        .loop = node->loop,
        .node = config->address,
        .on_ack = on_http_ack,
        .on_error = on_http_error,
        .ctx = node,
    };
    int r = rm_http_open(&http, config->rms, config->rm_count, config->rm_http, node->rm_https);
    for (uint32_t i = 0; i < config->rm_count && r == 0; i++)
        r = node->rm_https[i] == NULL ? open_family(node, config->rms[i].family) : 0;
    if (r < 0)
        return r;
    struct random_state random;
    random_init_from_kernel(&random);
    heartbeats_init(&node->heartbeats, node->config.rms, node->config.rm_count, node->config.region, node->config.heartbeat_ns,
                    random_unit(&random), loop_now_ns(node->loop));
    timer_init(&node->heartbeat_timer, on_heartbeat_time, node);
    timer_start(node->loop, &node->heartbeat_timer, heartbeats_due_ns(&node->heartbeats));
    return 0;
}

void announcer_stop(struct node *node)
{
    timer_stop(&node->heartbeat_timer);
    rm_http_close(node->rm_https);
    if (node->udp_ipv4 != NULL)
        udp_close(node->udp_ipv4);
    if (node->udp_ipv6 != NULL)
        udp_close(node->udp_ipv6);
    node->udp_ipv4 = node->udp_ipv6 = NULL;
}
