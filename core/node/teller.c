/* What the node tells beside its regular heartbeats: idle tokens, straight to a dispatcher, and heartbeats out of turn. When and which is
 * freshness.c's; here are who gets them, and who must not be told anything.
 *
 * Jobs that come and go are noted one by one, and looked at once for all that came, or ended, together: a node of short jobs pays
 * some arithmetic for that, and no system call that sends nothing. */
#include "core/base/check.h"
#include "core/node/node_internal.h"

/* How long the jobs that are here take on average; when none is, one of the service that was here last. */
static double job_s(const struct node *node, uint32_t service)
{
    double work_s = 0;
    if (node->job_count == 0)
        return (double)estimate_job_s(&node->estimate, service);
    for (uint32_t i = 0; i < node->config.services.count; i++)
        work_s += (double)estimate_work_s(&node->estimate, i);
    return work_s / node->job_count;
}

void teller_job_came(struct node *node, uint32_t service, uint64_t dispatcher_boot_id)
{
    struct teller *teller = &node->teller;
    freshness_job_came(&teller->freshness, node->job_count, job_s(node, service), dispatcher_boot_id);
    teller->due = true;
}

void teller_job_left(struct node *node, uint32_t service, uint64_t dispatcher_boot_id)
{
    struct teller *teller = &node->teller;
    freshness_job_left(&teller->freshness, node->job_count, job_s(node, service));
    if (dispatcher_boot_id != 0)
        teller->ended_boot_id = dispatcher_boot_id;
    teller->due = true;
}

void teller_beat(struct node *node)
{
    freshness_beat(&node->teller.freshness, loop_now_ns(node->loop));
}

bool teller_extra(struct node *node)
{
    return freshness_extra(&node->teller.freshness, loop_now_ns(node->loop));
}

void teller_on_ack(struct node *node, const struct wire_heartbeat_ack *ack)
{
    struct teller *teller = &node->teller;
    freshness_share(&teller->freshness, ack->dispatcher_total, ack->node_total, loop_now_ns(node->loop));
    /* Ours was too short for all of them, or for any: the next one is not. */
    if (ack->dispatcher_count == 0 && ack->dispatcher_total > 0)
        return;
    teller->dispatcher_count = 0;
    for (uint32_t i = 0; i < ack->dispatcher_count; i++)
        if (announcer_can_send(node, ack->dispatchers[i].address.family))
            teller->dispatchers[teller->dispatcher_count++] = ack->dispatchers[i];
}

/* Who sends jobs here gets the token, not who has tokens to spare. At first, and when he has gone, anybody. */
static const struct wire_ack_dispatcher *choose_dispatcher(struct teller *teller)
{
    for (uint32_t i = 0; i < teller->dispatcher_count; i++)
        if (teller->dispatchers[i].boot_id == teller->ended_boot_id)
            return &teller->dispatchers[i];
    return &teller->dispatchers[random_below(&teller->random, teller->dispatcher_count)];
}

static void send_token(struct node *node, const struct wire_ack_dispatcher *dispatcher)
{
    uint64_t sequence = ++node->announcement.heartbeats.sequence;
    struct wire_idle_token token = {
        .node = node->config.address,
        .trailer = {.boot_id = node->config.boot_id, .sequence = sequence},
    };
    uint8_t bytes[IDLE_TOKEN_BYTES];
    int length = wire_idle_token_encode(&token, sequence, bytes, sizeof(bytes));
    CHECK(length > 0);
    if (udp_send(announcement_socket(&node->sockets, dispatcher->address.family), &dispatcher->address, bytes,
                 (uint32_t)length) == 0)
        counter_add(&node->counters, COUNTER_IDLE_TOKENS_SENT, 1);
}

/* Nobody needs to know of a node that is not to be handed out. */
static bool tells(const struct node *node)
{
    return node->config.freshness_per_s > 0 && node->teller.dispatcher_count > 0 && node->phase < NODE_LEAVING &&
           !node->config.no_jobs && (node->announcement.heartbeats.admin.flags & WIRE_ADMIN_DRAIN) == 0;
}

static void count_held(struct node *node)
{
    struct teller *teller = &node->teller;
    counter_add(&node->counters, COUNTER_FRESHNESS_HELD, teller->freshness.held - teller->held_counted);
    teller->held_counted = teller->freshness.held;
}

void teller_look(struct node *node)
{
    struct teller *teller = &node->teller;
    uint64_t again_ns = UINT64_MAX;
    enum freshness_message message = FRESHNESS_TOKEN;
    teller->due = false;
    while (message != FRESHNESS_NOTHING && tells(node)) {
        const struct wire_ack_dispatcher *dispatcher = choose_dispatcher(teller);
        /* One that is on its way anyway need not be paid for again, and where no rm answers nobody would hear it. */
        teller->freshness.config.reports = heartbeats_heed_change(&node->announcement.heartbeats);
        message = freshness_take(&teller->freshness, dispatcher->boot_id, loop_now_ns(node->loop), &again_ns);
        if (message == FRESHNESS_TOKEN)
            send_token(node, dispatcher);
        else if (message == FRESHNESS_REPORT)
            announcer_report(node);
    }
    count_held(node);
    /* Too early does no harm, and saves starting it anew for every job. */
    if (again_ns != UINT64_MAX && (!timer_is_running(&teller->timer) || again_ns < teller->timer.at_ns))
        timer_start(node->loop, &teller->timer, again_ns);
}

static void on_time(void *ctx, struct timer *timer)
{
    (void)timer;
    teller_look(ctx);
}

void teller_init(struct node *node)
{
    struct teller *teller = &node->teller;
    struct freshness_config config = {.slots = node->config.slots, .per_s = node->config.freshness_per_s, .tokens = true};
    freshness_init(&teller->freshness, &config, loop_now_ns(node->loop));
    random_init_from_kernel(&teller->random);
    timer_init(&teller->timer, on_time, node);
}

void teller_stop(struct node *node)
{
    timer_stop(&node->teller.timer);
}
