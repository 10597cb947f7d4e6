#include "core/node/heartbeat.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/clock.h"

/* Intervals without an acknowledgement after which an rm counts as lost, and the least time for that: with very short intervals a
 * scheduling hiccup must not be news. */
#define SILENT_INTERVALS 3u
#define SILENT_NS_MIN NS_PER_S

/* Between two messages out of turn to one rm, whatever it asks for. */
#define EXTRA_GAP_NS (100 * NS_PER_MS)

const char *heartbeat_state_name(enum heartbeat_state state)
{
    static const char *const names[] = {
        [HEARTBEAT_SEEKING] = "seeking",
        [HEARTBEAT_REACHED] = "reached",
        [HEARTBEAT_LOST] = "lost",
        [HEARTBEAT_REFUSED] = "refused",
    };
    return names[state];
}

void heartbeats_init(struct heartbeats *heartbeats, const struct address *rms, uint32_t rm_count, uint16_t region,
                     uint64_t interval_ns, double phase, uint64_t now_ns)
{
    CHECK(rm_count <= HEARTBEAT_RMS_MAX && interval_ns > 0 && phase >= 0 && phase < 1);
    *heartbeats = (struct heartbeats){.interval_ns = interval_ns, .region = region, .rm_count = rm_count};
    for (uint32_t i = 0; i < rm_count; i++)
        heartbeats->rms[i] = (struct heartbeat_rm){
            .address = rms[i],
            .extra = HEARTBEAT_REGISTER,
            .extra_ns = now_ns,
            .due_ns = now_ns + (uint64_t)(phase * (double)interval_ns),
            .heard_ns = now_ns,
        };
}

uint64_t heartbeats_due_ns(const struct heartbeats *heartbeats)
{
    uint64_t due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < heartbeats->rm_count; i++) {
        const struct heartbeat_rm *rm = &heartbeats->rms[i];
        due_ns = rm->due_ns < due_ns ? rm->due_ns : due_ns;
        if (rm->extra != HEARTBEAT_NOTHING && rm->extra_ns < due_ns)
            due_ns = rm->extra_ns;
    }
    return due_ns;
}

static bool is_silent(const struct heartbeats *heartbeats, const struct heartbeat_rm *rm, uint64_t now_ns)
{
    uint64_t limit_ns = SILENT_INTERVALS * heartbeats->interval_ns;
    return now_ns - rm->heard_ns >= (limit_ns > SILENT_NS_MIN ? limit_ns : SILENT_NS_MIN);
}

/* In whole intervals from the last one, so that the phase stays. */
static void advance_due(const struct heartbeats *heartbeats, struct heartbeat_rm *rm, uint64_t now_ns)
{
    rm->due_ns += heartbeats->interval_ns * ((now_ns - rm->due_ns) / heartbeats->interval_ns + 1);
}

enum heartbeat_message heartbeats_take(struct heartbeats *heartbeats, uint32_t rm_index, uint64_t now_ns, uint64_t *ret_sequence,
                                       uint32_t *ret_padded_length, bool *ret_changed)
{
    struct heartbeat_rm *rm = &heartbeats->rms[rm_index];
    bool regular = now_ns >= rm->due_ns;
    bool extra = rm->extra != HEARTBEAT_NOTHING && now_ns >= rm->extra_ns;
    *ret_changed = false;
    if (!regular && !extra)
        return HEARTBEAT_NOTHING;
    if (regular) {
        *ret_changed = (rm->state == HEARTBEAT_SEEKING || rm->state == HEARTBEAT_REACHED) && is_silent(heartbeats, rm, now_ns);
        if (*ret_changed)
            rm->state = HEARTBEAT_LOST;
        advance_due(heartbeats, rm, now_ns);
    }

    enum heartbeat_message message = HEARTBEAT_BEAT;
    if (rm->state != HEARTBEAT_REACHED || (extra && rm->extra == HEARTBEAT_REGISTER))
        message = HEARTBEAT_REGISTER;
    /* A heartbeat tells all there is, whatever it goes out for. */
    if (extra || message == rm->extra) {
        rm->extra = HEARTBEAT_NOTHING;
        rm->extra_ns = now_ns + EXTRA_GAP_NS;
    }
    /* A regular one right behind it would say the same again. */
    if (heartbeats->interval_ns > HEARTBEAT_GAP_NS && rm->due_ns < now_ns + HEARTBEAT_GAP_NS)
        advance_due(heartbeats, rm, rm->due_ns);
    if (message == HEARTBEAT_REGISTER)
        rm->registering = true;
    else
        rm->beat_ns = now_ns;
    rm->sent_ns = now_ns;
    rm->sent_sequence = ++heartbeats->sequence;
    *ret_sequence = rm->sent_sequence;
    /* As if all were IPv6: the list may change until the next one, and a few bytes a second are nothing. */
    *ret_padded_length = wire_heartbeat_ack_bytes(rm->dispatcher_total, ADDRESS_IPV6);
    return message;
}

void heartbeats_hasten(struct heartbeats *heartbeats, uint64_t now_ns)
{
    for (uint32_t i = 0; i < heartbeats->rm_count; i++) {
        struct heartbeat_rm *rm = &heartbeats->rms[i];
        if (rm->extra == HEARTBEAT_NOTHING)
            rm->extra = HEARTBEAT_BEAT;
        rm->extra_ns = now_ns;
    }
}

static bool heeds_change(const struct heartbeat_rm *rm)
{
    return rm->state == HEARTBEAT_REACHED && rm->extra == HEARTBEAT_NOTHING;
}

bool heartbeats_heed_change(const struct heartbeats *heartbeats)
{
    for (uint32_t i = 0; i < heartbeats->rm_count; i++)
        if (heeds_change(&heartbeats->rms[i]))
            return true;
    return false;
}

static uint64_t gap_after_ns(uint64_t last_ns, uint64_t now_ns)
{
    return last_ns != 0 && last_ns + HEARTBEAT_GAP_NS > now_ns ? last_ns + HEARTBEAT_GAP_NS : now_ns;
}

static void change_note(struct heartbeat_rm *rm, uint64_t now_ns)
{
    if (!heeds_change(rm))
        return;
    rm->extra = HEARTBEAT_BEAT;
    rm->extra_ns = gap_after_ns(rm->sent_ns, now_ns);
}

void heartbeats_change(struct heartbeats *heartbeats, uint64_t now_ns)
{
    for (uint32_t i = 0; i < heartbeats->rm_count; i++)
        change_note(&heartbeats->rms[i], now_ns);
}

uint32_t heartbeats_find(const struct heartbeats *heartbeats, const struct address *peer)
{
    for (uint32_t i = 0; i < heartbeats->rm_count; i++)
        if (address_equal(&heartbeats->rms[i].address, peer))
            return i;
    return HEARTBEAT_RMS_MAX;
}

/* The other rm hear of it now, with our next words to them: where each has a store of its own, we are who tells. */
static void admin_take(struct heartbeats *heartbeats, uint32_t rm_index, const struct wire_admin *admin, uint64_t now_ns)
{
    heartbeats->admin = *admin;
    for (uint32_t i = 0; i < heartbeats->rm_count; i++)
        if (i != rm_index)
            change_note(&heartbeats->rms[i], now_ns);
}

/* In whole intervals too. */
static void due_defer(const struct heartbeats *heartbeats, struct heartbeat_rm *rm, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + HEARTBEAT_REFUSED_NS;
    if (rm->due_ns < until_ns)
        advance_due(heartbeats, rm, until_ns - 1);
}

/* Takes back what due_defer did: rm counts the time since our last message, and an interval is all that may pass. */
static void due_resume(const struct heartbeats *heartbeats, struct heartbeat_rm *rm, uint64_t now_ns)
{
    uint64_t after_ns = gap_after_ns(rm->sent_ns, now_ns);
    if (rm->due_ns > after_ns)
        rm->due_ns -= heartbeats->interval_ns * ((rm->due_ns - after_ns - 1) / heartbeats->interval_ns);
}

int heartbeats_on_ack(struct heartbeats *heartbeats, uint32_t rm_index, const struct wire_heartbeat_ack *ack, uint64_t now_ns,
                      bool *ret_changed)
{
    struct heartbeat_rm *rm = &heartbeats->rms[rm_index];
    if (ack->acked_sequence <= rm->acked_sequence || ack->acked_sequence > rm->sent_sequence)
        return -ESTALE;
    if (ack->trailer.boot_id == rm->boot_id && ack->trailer.sequence <= rm->boot_sequence)
        return -ESTALE;
    rm->boot_id = ack->trailer.boot_id;
    rm->boot_sequence = ack->trailer.sequence;
    rm->acked_sequence = ack->acked_sequence;
    rm->heard_ns = now_ns;
    rm->acknowledged_ns = now_ns;
    rm->region = ack->region;
    rm->dispatcher_total = ack->dispatcher_total;

    enum heartbeat_state before = rm->state;
    rm->state = ack->region == heartbeats->region ? HEARTBEAT_REACHED : HEARTBEAT_REFUSED;
    *ret_changed = rm->state != before;
    if (rm->state == HEARTBEAT_REFUSED) {
        rm->extra = HEARTBEAT_NOTHING;
        if (before == HEARTBEAT_REFUSED)
            due_defer(heartbeats, rm, now_ns);
        return 0;
    }
    if (before == HEARTBEAT_REFUSED)
        due_resume(heartbeats, rm, now_ns);

    if (wire_admin_is_later(&ack->admin, &heartbeats->admin))
        admin_take(heartbeats, rm_index, &ack->admin, now_ns);
    if ((ack->flags & WIRE_ACK_REGISTER_WANTED) != 0) {
        rm->extra = HEARTBEAT_REGISTER;
    } else if (rm->registering) {
        rm->registering = false;
        rm->extra = HEARTBEAT_BEAT;
        rm->extra_ns = gap_after_ns(rm->beat_ns, now_ns);
    }
    return 0;
}

int heartbeats_on_error(struct heartbeats *heartbeats, uint32_t rm_index, uint64_t request_id, uint64_t now_ns, bool *ret_changed)
{
    struct heartbeat_rm *rm = &heartbeats->rms[rm_index];
    if (request_id != rm->sent_sequence || request_id <= rm->acked_sequence)
        return -ESTALE;
    *ret_changed = rm->state != HEARTBEAT_REFUSED;
    rm->state = HEARTBEAT_REFUSED;
    rm->extra = HEARTBEAT_NOTHING;
    rm->heard_ns = now_ns;
    return 0;
}
