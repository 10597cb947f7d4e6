#include "dispatcher/feedback.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/memory.h"
#include "dispatcher/placement.h"

#define TRACKS_BYTES (sizeof(struct feedback_track) * MEMBERS_MAX)

_Static_assert((int)FEEDBACK_OK == (int)WIRE_OUTCOME_OK, "outcomes are those on the wire");
_Static_assert((int)FEEDBACK_FAILED == (int)WIRE_OUTCOME_FAILED, "the same");
_Static_assert((int)FEEDBACK_TIMEOUT == (int)WIRE_OUTCOME_TIMEOUT, "the same");

struct note {
    uint64_t service_id; /* of the request that brought it: most likely the job's */
    struct address node;
    uint32_t client;
    uint32_t latency_us;
    uint8_t outcome;
};

void feedback_note(struct post_box *box, const struct wire_address_request *request, const struct address *peer,
                   struct counters *counters)
{
    static const enum counter by_outcome[FEEDBACK_OUTCOMES] = {
        [FEEDBACK_OK] = COUNTER_FEEDBACK_OK,
        [FEEDBACK_FAILED] = COUNTER_FEEDBACK_FAILED,
        [FEEDBACK_TIMEOUT] = COUNTER_FEEDBACK_TIMEOUT,
    };
    counter_add(counters, by_outcome[request->feedback.outcome], 1);
    struct note *note = post_box_reserve(box);
    if (!note) {
        counter_add(counters, COUNTER_FEEDBACK_IGNORED, 1);
        return;
    }
    *note = (struct note){
        .service_id = request->service_id,
        .node = request->feedback.node,
        .client = feedback_client(peer),
        .latency_us = request->feedback.latency_us,
        .outcome = request->feedback.outcome,
    };
    post_box_publish(box);
}

/* The service is the node's k-th; VALUES_SERVICES_MAX: it does not offer it. */
static uint32_t ordinal_of(const struct offer_set *services, uint64_t service_id)
{
    for (uint32_t i = 0; i < services->count; i++)
        if (services->items[i].id == service_id)
            return i;
    return VALUES_SERVICES_MAX;
}

static void note_take(struct feedback_desk *desk, const struct note *note, uint64_t now_ns)
{
    const struct members *members = &desk->directory->members;
    uint32_t slot = members_find(members, &note->node);
    const struct member *member = slot == MEMBER_NONE ? NULL : members_at(members, slot);
    bool counts = false;
    if (member) {
        struct feedback feedback = {
            .client = note->client,
            .ordinal = ordinal_of(member->services, note->service_id),
            .latency_s = (float)note->latency_us * 1e-6f,
            .outcome = (enum feedback_outcome)note->outcome,
        };
        counts = feedback_apply(&members->values[slot], &desk->tracks[slot], &feedback, now_ns);
        if (feedback.outcome == FEEDBACK_OK)
            counts |= placement_done(members->placement, slot, feedback.latency_s, now_ns);
    }
    if (!counts)
        counter_add(desk->counters, COUNTER_FEEDBACK_IGNORED, 1);
}

static void box_empty(struct feedback_desk *desk, struct post_box *box, uint64_t now_ns)
{
    post_box_silence(box);
    for (;;) {
        size_t count;
        const struct note *notes = spsc_queue_peek(&box->notes, &count);
        if (count == 0)
            return;
        for (size_t i = 0; i < count; i++)
            note_take(desk, &notes[i], now_ns);
        spsc_queue_release(&box->notes, count);
    }
}

static void on_pause_over(void *ctx, struct timer *timer)
{
    struct feedback_desk *desk = ctx;
    (void)timer;
    for (uint32_t i = 0; i < desk->box_count; i++)
        if (post_box_has_rung(&desk->boxes[i]))
            box_empty(desk, &desk->boxes[i], loop_now_ns(desk->loop));
}

static void on_ring(void *ctx, struct loop_message *message)
{
    struct feedback_desk *desk = ctx;
    (void)message;
    if (!timer_is_running(&desk->timer))
        timer_start(desk->loop, &desk->timer, loop_now_ns(desk->loop) + FEEDBACK_PAUSE_NS);
}

int feedback_desk_new(struct loop *loop, const struct directory *directory, struct counters *counters, uint32_t core_count,
                      struct feedback_desk **ret_desk)
{
    struct feedback_desk *desk = memory_new_aligned(sizeof(*desk));
    if (!desk)
        return -ENOMEM;
    desk->loop = loop;
    desk->directory = directory;
    desk->counters = counters;
    timer_init(&desk->timer, on_pause_over, desk);
    desk->tracks = mmap(NULL, TRACKS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (desk->tracks == MAP_FAILED) {
        desk->tracks = NULL;
        feedback_desk_free(desk);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < core_count; i++) {
        if (post_box_init(&desk->boxes[i], FEEDBACK_NOTES_MAX, sizeof(struct note), loop, on_ring, desk) < 0) {
            feedback_desk_free(desk);
            return -ENOMEM;
        }
        desk->box_count++;
    }
    *ret_desk = desk;
    return 0;
}

void feedback_desk_free(struct feedback_desk *desk)
{
    if (!desk)
        return;
    timer_stop(&desk->timer);
    for (uint32_t i = 0; i < desk->box_count; i++)
        post_box_done(&desk->boxes[i]);
    if (desk->tracks)
        munmap(desk->tracks, TRACKS_BYTES);
    free(desk);
}
