/* Any bytes as HTTP requests, whole and cut into chunks: both ways must give the same requests and the same end. */
#include <string.h>

#include "core/base/check.h"
#include "core/http/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

struct outcome {
    size_t requests;
    size_t done;
    size_t targets_length;
    size_t bodies_length;
    int status; /* 0: the bytes ended first */
};

static struct outcome read_all(const uint8_t *data, size_t data_size, size_t chunk_size, uint32_t body_bytes_max)
{
    struct http_reader reader;
    struct outcome outcome = {.requests = 0};
    http_reader_init(&reader, body_bytes_max);
    while (outcome.done < data_size && outcome.status == 0) {
        size_t left = data_size - outcome.done;
        size_t taken = 0;
        int result = http_reader_feed(&reader, data + outcome.done, left < chunk_size ? left : chunk_size, &taken);
        CHECK(taken <= left);
        outcome.done += taken;
        if (result == HTTP_READER_REQUEST) {
            CHECK(taken > 0 && reader.target[0] == '/');
            outcome.requests++;
            outcome.targets_length += strlen(reader.target);
            outcome.bodies_length += reader.body.length;
            CHECK(reader.body.length <= body_bytes_max);
        } else if (result != HTTP_READER_MORE) {
            CHECK(result >= 400 && result <= 505);
            outcome.status = result;
            outcome.done = 0; /* how far it came depends on the chunks */
        }
    }
    http_reader_done(&reader);
    return outcome;
}

static void compare(const uint8_t *data, size_t data_size, uint32_t body_bytes_max)
{
    struct outcome whole = read_all(data, data_size, data_size, body_bytes_max);
    for (size_t chunk_size = 1; chunk_size <= 64; chunk_size = chunk_size * 3 + 1) {
        struct outcome cut = read_all(data, data_size, chunk_size, body_bytes_max);
        CHECK(cut.requests == whole.requests && cut.done == whole.done && cut.targets_length == whole.targets_length);
        CHECK(cut.bodies_length == whole.bodies_length && (cut.status == 0) == (whole.status == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    compare(data, data_size, 0);
    compare(data, data_size, 100);
    return 0;
}
