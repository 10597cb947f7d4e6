/* accepting - a server that counts what happens to its connections, for the tests of listeners. */
#pragma once

#include "core/io/stream.h"

#define ACCEPTED_MAX 512

struct accepting {
    struct stream *stream[ACCEPTED_MAX];
    uint32_t accepted;
    uint32_t shown; /* receives */
    uint32_t closed;
    int error; /* of the last one closed */
    bool without_handlers;
};

/* Of this test's process. */
extern struct accepting server;

extern const struct stream_handlers accepting_handlers;

/* At config->address, or on loopback where it has none. */
struct listener *accepting_listen(struct loop *loop, struct listener_config *config);

/* A client that has been accepted. */
int accepting_client(struct loop *loop, const struct listener *listener);

void expect_end(int fd);
void expect_open(int fd);
