/* A stream cut into any chunks gives the same frames, and the same end, as the stream in one piece. The first byte of the input
 * seeds the chunks' lengths. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/random.h"
#include "core/wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

/* What a receiver has seen of a stream. */
struct outcome {
    uint64_t hash; /* of all frames, in order */
    uint32_t frames;
    int error; /* 0 or -EAGAIN: may go on; else it is over */
    enum refusal refusal;
};

/* Takes all whole frames off the front; returns how many bytes they are. */
static size_t frames_take(struct outcome *outcome, const uint8_t *bytes, size_t length)
{
    size_t taken = 0;
    outcome->error = 0;
    while (taken < length) {
        struct frame frame;
        int used = frame_decode_stream(bytes + taken, length - taken, &frame, &outcome->refusal);
        if (used < 0) {
            outcome->error = used;
            break;
        }
        outcome->hash = hash_mix(outcome->hash ^ hash_fnv1a(frame.body, frame.body_length) ^ frame.request_id ^ frame.type);
        outcome->frames++;
        taken += (size_t)used;
    }
    return taken;
}

static struct outcome in_chunks(const uint8_t *bytes, size_t length, uint8_t seed)
{
    struct outcome outcome = {0};
    struct random_state random;
    size_t begin = 0; /* of what is not taken yet */
    size_t end = 0; /* of what has arrived */
    random_init(&random, seed);
    while (end < length && (outcome.error == 0 || outcome.error == -EAGAIN)) {
        size_t chunk = 1 + random_below(&random, seed % 2 ? 3 : 200);
        end = chunk < length - end ? end + chunk : length;
        /* A copy of exactly what has arrived, so that AddressSanitizer sees a look at what has not. */
        uint8_t *arrived = malloc(end - begin);
        CHECK(arrived != NULL);
        memcpy(arrived, bytes + begin, end - begin);
        begin += frames_take(&outcome, arrived, end - begin);
        free(arrived);
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    if (data_size < 2)
        return 0;
    struct outcome whole = {0};
    frames_take(&whole, data + 1, data_size - 1);
    struct outcome chunked = in_chunks(data + 1, data_size - 1, data[0]);
    CHECK(chunked.frames == whole.frames && chunked.hash == whole.hash);
    CHECK(chunked.error == whole.error && chunked.refusal == whole.refusal);
    return 0;
}
