#include "core/policy/feedback.h"

#include "core/base/hash.h"
#include "core/policy/finish_time.h"
#include "core/policy/finish_time_internal.h"

#define MOVED_UNITS 256.0f /* a window */

uint32_t feedback_client(const struct address *address)
{
    uint64_t network;
    memcpy(&network, address->ip, sizeof(network)); /* of IPv4 all, and zeros */
    return (uint32_t)hash_mix(network + address->family);
}

static void window_enter(struct feedback_track *track, uint32_t client, uint64_t now_ns)
{
    if (track->window_ns == 0 || now_ns >= track->window_ns + FEEDBACK_WINDOW_NS)
        *track = (struct feedback_track){.window_ns = now_ns, .client = client};
    track->several |= client != track->client;
}

/* A job ended badly: the node is taken to have one more than it is known to have. */
static bool finish_move(struct node_values *values, struct feedback_track *track, uint64_t now_ns)
{
    const float window_s = (float)FEEDBACK_WINDOW_NS * 1e-9f;
    float job_s = finish_time_job_s(atomic_load_explicit(&values->job_code, memory_order_relaxed)) / slots_of(values);
    float room_s = (FEEDBACK_SHARE - (float)track->moved / MOVED_UNITS) * window_s;
    float move_s = job_s < room_s ? job_s : room_s;
    if (track->jobs >= (track->several ? FEEDBACK_JOBS_MANY : FEEDBACK_JOBS_ONE) || !(move_s > 0))
        return false;
    float left = left_s(values, now_ns);
    store_left_s(values, (left > 0 ? left : 0) + move_s, now_ns);
    track->jobs++;
    track->moved = (uint8_t)((float)track->moved + move_s / window_s * MOVED_UNITS);
    return true;
}

/* A job went well: so long do they take there. */
static bool job_time_step(struct node_values *values, struct feedback_track *track, const struct feedback *feedback)
{
    uint8_t latency = finish_time_code(feedback->latency_s);
    if (!(atomic_load_explicit(&values->flags, memory_order_relaxed) & NODE_VALUE_NO_ECHO) ||
        feedback->ordinal >= VALUES_SERVICES_MAX || latency == 0)
        return false;
    if (track->steps >= (track->several ? FEEDBACK_STEPS_MANY : FEEDBACK_STEPS_ONE))
        return false;
    if (track->several && track->client_last == feedback->client)
        return false;
    uint8_t code = atomic_load_explicit(&values->job_codes[feedback->ordinal], memory_order_relaxed);
    track->steps++;
    track->client_last = feedback->client;
    if (code == 0)
        code = latency;
    else if (code != latency)
        code = (uint8_t)(latency > code ? code + 1 : code - 1);
    atomic_store_explicit(&values->job_codes[feedback->ordinal], code, memory_order_relaxed);
    return true;
}

bool feedback_apply(struct node_values *values, struct feedback_track *track, const struct feedback *feedback, uint64_t now_ns)
{
    window_enter(track, feedback->client, now_ns);
    if (feedback->outcome == FEEDBACK_OK)
        return job_time_step(values, track, feedback);
    return finish_move(values, track, now_ns);
}
