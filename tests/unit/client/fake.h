/* fake - dispatchers and nodes that behave as a test wants, on real sockets and the same loop as the client under test. */
#pragma once

#include "client/client.h"
#include "core/io/stream.h"
#include "core/io/udp.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "core/wire/job.h"

enum fake_dispatcher_mode {
    FAKE_ANSWER,
    FAKE_SILENT,
    FAKE_GARBAGE, /* bytes that are not our protocol */
    FAKE_WRONG_ID, /* a good answer to a question nobody asked, and then the right one never */
    FAKE_TWICE, /* every answer twice */
    FAKE_REFUSE, /* an ERROR with `code` */
};

#define FAKE_LISTED_MAX 300

struct fake_dispatcher {
    struct udp *udp; /* NULL: killed */
    struct listener *listener; /* on the same port; NULL until fake_dispatcher_start_tcp */
    struct address address;
    enum fake_dispatcher_mode mode;
    enum wire_error_code code;
    uint16_t region; /* its own */
    uint16_t client_region; /* what it says the client's is; 0: its own */
    uint32_t regions_version;
    struct wire_region_dispatcher listed[FAKE_LISTED_MAX];
    uint16_t listed_count;
    struct wire_address_entry nodes[8];
    uint8_t node_count;

    uint32_t locations; /* received */
    uint32_t asks;
    uint32_t over_tcp; /* of both */
    uint16_t ports[16]; /* where the first of these came from */
    struct wire_address_request last; /* the last one that asked for addresses */
};

enum fake_node_mode {
    FAKE_RESULT, /* echoes the data */
    FAKE_PARTS, /* echoes it in parts of one byte */
    FAKE_PART_AND_BREAK, /* one part, then closes */
    FAKE_ENDLESS, /* 64 MiB and a byte */
    FAKE_BUSY_ONCE, /* BUSY, then FAKE_RESULT */
    FAKE_BREAK, /* closes when it has got the job */
    FAKE_BREAK_ONCE, /* then FAKE_RESULT */
    FAKE_ERROR, /* with `code` and `started` */
    FAKE_NO_PROTOCOL, /* sends bytes that are not our protocol */
    FAKE_HANG, /* never answers */
};

struct fake_node {
    struct listener *listener;
    struct address address;
    enum fake_node_mode mode;
    enum wire_error_code code;
    bool started;
    uint32_t jobs; /* received */
    uint32_t closed; /* connections that ended */
    struct wire_job last; /* its data is gone */
};

/* One loop and one client for a test; dispatchers as in usher_config. Both are freed by fake_teardown. */
extern struct loop *fake_loop;
extern struct usher_client *fake_client;
void fake_setup(void);
void fake_teardown(void);
void fake_client_start(const struct usher_config *config);

void fake_dispatcher_start(struct fake_dispatcher *dispatcher, uint16_t region);
void fake_dispatcher_start_tcp(struct fake_dispatcher *dispatcher); /* after fake_dispatcher_start */
void fake_dispatcher_kill(struct fake_dispatcher *dispatcher);
void fake_dispatcher_names(struct fake_dispatcher *dispatcher, const struct address *node);
void fake_dispatcher_lists(struct fake_dispatcher *dispatcher, const struct fake_dispatcher *other);

void fake_node_start(struct fake_node *node);

/* "1.2.3.4:5,…" of up to three dispatchers (NULL: none). */
const char *fake_list(const struct fake_dispatcher *a, const struct fake_dispatcher *b, const struct fake_dispatcher *c);

/* An address that refuses. */
struct address fake_dead_address(void);

/* Lets the client and the fakes run for so long on the loop's clock. */
void fake_run_for(uint64_t duration_ms);
