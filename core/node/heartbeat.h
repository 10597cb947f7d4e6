/* heartbeat - the node's side of the conversation with its resource managers, as pure steps (requirement N6): what to send to whom and
 * when, and what an answer means. Sockets and timers are announcement.c's.
 *
 *     SEEKING ──ack──▶ REACHED ──no ack for 3 intervals──▶ LOST ──ack──▶ REACHED
 *        any ──an ERROR, or an ack of another region──▶ REFUSED ──an ack that fits──▶ REACHED
 *
 * REACHED: a HEARTBEAT each interval; a REGISTER at once when rm asks for one. Else: a REGISTER each interval. An rm that has said twice
 * in a row that it is of another region is asked again HEARTBEAT_REFUSED_NS later, as it lists us for a while each time. Behind an
 * acknowledged REGISTER a HEARTBEAT goes out at once, so that rm need not wait an interval for the load; unless one has gone less than
 * HEARTBEAT_GAP_NS ago.
 *
 * Promise: whatever has come before, behind an ack that fits the next message goes out within an interval and HEARTBEAT_GAP_NS, and no
 * two HEARTBEATs to one rm less than 10 ms apart, where the interval is longer, but for that of a node that leaves.
 * Invariant: sequences strictly increase over all rm of one boot; an acknowledgement counts once, only of what was sent, and only
 * with a sequence beyond the last one of the same boot of its rm.
 * Thread: one owner. Memory: none of its own. Time comes as an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/wire/heartbeat.h"

#define HEARTBEAT_RMS_MAX 8u
/* Between a heartbeat out of turn and any other to the same rm, but for that of a node that leaves: 10 ms on the wire (N8), and 1 ms for
 * what may lie between reading the clock and sending. */
#define HEARTBEAT_GAP_NS UINT64_C(11000000)
#define HEARTBEAT_REFUSED_NS UINT64_C(5000000000)

enum heartbeat_state {
    HEARTBEAT_SEEKING, /* nothing heard yet */
    HEARTBEAT_REACHED,
    HEARTBEAT_LOST, /* silent; also when it never answered */
    HEARTBEAT_REFUSED,
};

/* "seeking", "reached", "lost", "refused". */
const char *heartbeat_state_name(enum heartbeat_state state);

enum heartbeat_message {
    HEARTBEAT_NOTHING,
    HEARTBEAT_REGISTER,
    HEARTBEAT_BEAT,
};

struct heartbeat_rm {
    struct address address;
    enum heartbeat_state state;
    enum heartbeat_message extra; /* wanted before the next regular one */
    uint64_t due_ns; /* of the next regular message */
    uint64_t extra_ns; /* not before */
    uint64_t heard_ns; /* last acknowledgement, or when we began */
    uint64_t acknowledged_ns; /* last acknowledgement; 0: none */
    bool registering; /* a REGISTER went out and is not acknowledged yet */
    uint64_t sent_ns; /* when the last message to this rm went; 0: none */
    uint64_t beat_ns; /* when the last HEARTBEAT among these did */
    uint64_t sent_sequence; /* of the last message to this rm */
    uint64_t acked_sequence;
    uint64_t boot_id; /* of the rm that acknowledged last, and the sequence of that */
    uint64_t boot_sequence;
    uint16_t region; /* as it said; 0: nothing heard */
    uint16_t dispatcher_total; /* as it said */
};

struct heartbeats {
    uint64_t interval_ns;
    uint64_t sequence; /* the last one used */
    uint16_t region;
    struct wire_admin admin; /* the latest that any rm told: last writer wins */
    uint32_t rm_count;
    struct heartbeat_rm rms[HEARTBEAT_RMS_MAX];
};

/* phase: 0 ≤ phase < 1, random: where in the interval the regular messages fall, so that nodes started together don't beat together.
 * The first REGISTER is due at once. */
void heartbeats_init(struct heartbeats *heartbeats, const struct address *rms, uint32_t rm_count, uint16_t region,
                     uint64_t interval_ns, double phase, uint64_t now_ns);

/* When to call heartbeats_take again. */
uint64_t heartbeats_due_ns(const struct heartbeats *heartbeats);

/* What is to be sent to this rm now. Then its sequence, also to be the request ID, and the length to pad to, so that the acknowledgement
 * may carry all dispatchers. *ret_changed: the rm has just been given up (LOST). */
enum heartbeat_message heartbeats_take(struct heartbeats *heartbeats, uint32_t rm_index, uint64_t now_ns, uint64_t *ret_sequence,
                                       uint32_t *ret_padded_length, bool *ret_changed);

/* Everybody shall hear at once that the node leaves: HEARTBEAT_GAP_NS later it may be gone. */
void heartbeats_hasten(struct heartbeats *heartbeats, uint64_t now_ns);

/* Something has changed, in what the node offers or fast (N8): those who acknowledge hear of it now, or HEARTBEAT_GAP_NS after the last
 * message to them. */
void heartbeats_change(struct heartbeats *heartbeats, uint64_t now_ns);

/* Whether heartbeats_change would make any difference: some rm acknowledges, and gets no message out of turn anyway. */
bool heartbeats_heed_change(const struct heartbeats *heartbeats);

/* The rm that has this address, or HEARTBEAT_RMS_MAX. */
uint32_t heartbeats_find(const struct heartbeats *heartbeats, const struct address *peer);

/* An acknowledgement. What an operator has told this rm goes on to the others as heartbeats_change does. -ESTALE: late, repeated, or of
 * something never sent: not counted. *ret_changed: the state is another one now; REFUSED here means that the rm is of another region. */
NODISCARD int heartbeats_on_ack(struct heartbeats *heartbeats, uint32_t rm_index, const struct wire_heartbeat_ack *ack,
                                uint64_t now_ns, bool *ret_changed);

/* An ERROR for our message `request_id`. -ESTALE: not for the last one sent to this rm, or that has been acknowledged. */
NODISCARD int heartbeats_on_error(struct heartbeats *heartbeats, uint32_t rm_index, uint64_t request_id, uint64_t now_ns,
                                  bool *ret_changed);
