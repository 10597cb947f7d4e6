#include "worker/datagrams.h"

#include "core/wire/error.h"
#include "core/wire/frame.h"

struct answer {
    uint8_t *bytes;
    size_t length;
};

/* `limit`: the request's length. A request too short for an error gets none, as does one that no room is left for. */
static void add_error(struct answer *answer, enum wire_error_code code, const char *text, uint64_t request_id, size_t limit)
{
    size_t room = DATAGRAM_BYTES_MAX - answer->length;
    int r = wire_error_encode(code, false, false, text, request_id, answer->bytes + answer->length, limit < room ? limit : room);
    if (r > 0)
        answer->length += (size_t)r;
}

static void answer_frame(struct answer *answer, const struct frame *frame, struct counters *counters)
{
    switch (frame->type) {
    case FRAME_TYPE_ADDRESS_REQUEST:
    case FRAME_TYPE_LOCATION_REQUEST:
        counter_add(counters, COUNTER_FRAMES_UNWANTED, 1);
        add_error(answer, WIRE_ERROR_NOT_DISPATCHER, NULL, frame->request_id, frame->length);
        break;
    case FRAME_TYPE_REGISTER:
    case FRAME_TYPE_HEARTBEAT:
        counter_add(counters, COUNTER_FRAMES_UNWANTED, 1);
        add_error(answer, WIRE_ERROR_NOT_ACCEPTED_HERE, "this is a worker, not a resource manager", frame->request_id,
                  frame->length);
        break;
    default:
        /* Replies are never answered, nor is an IDLE_TOKEN; unknown types are skipped. */
        counter_add(counters, COUNTER_FRAMES_UNWANTED, 1);
        break;
    }
}

static void answer_refused(struct answer *answer, const uint8_t *bytes, size_t length, int error, enum refusal refusal)
{
    uint64_t request_id;
    uint32_t limit;
    const char *text = refusal == REFUSAL_WRONG_TRANSPORT ? "send jobs over TCP" : refusal_text(refusal);
    if (frame_answerable(bytes, length, &request_id, &limit))
        add_error(answer, wire_error_from_error(error), text, request_id, limit);
}

size_t datagram_answer(const uint8_t *bytes, size_t length, struct counters *counters, uint8_t answer[static DATAGRAM_BYTES_MAX])
{
    struct answer answers = {.bytes = answer};
    size_t at = 0;
    while (at < length) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_datagram(bytes + at, length - at, &frame, &refusal);
        if (r < 0) {
            counter_add(counters, refusal_counter(refusal), 1);
            answer_refused(&answers, bytes + at, length - at, r, refusal);
            break;
        }
        answer_frame(&answers, &frame, counters);
        at += (size_t)r;
    }
    return answers.length;
}
