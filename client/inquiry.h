/* inquiry - a question to dispatchers under way: the shell round client/ask.h. Sends the attempts, decodes the replies.
 *
 * A question for addresses goes through the gate (client/gate.h) first.
 * Thread: the loop's. Memory: a member of its owner. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/ask.h"
#include "client/exchange.h"
#include "client/include/usher/usher.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"

struct usher_client;
struct inquiry;

enum inquiry_kind {
    INQUIRY_ADDRESS,
    INQUIRY_LOCATION, /* what it brings goes to the client's dispatchers */
};

enum inquiry_place {
    INQUIRY_OUTSIDE, /* a location needs no gate */
    INQUIRY_WAITING,
    INQUIRY_ADMITTED,
};

/* inquiry->ask says how it went. May be called from within inquiry_start. */
typedef void inquiry_done_function(void *ctx, struct inquiry *inquiry);

struct inquiry {
    struct usher_client *client; /* NULL: not under way */
    enum inquiry_kind kind;
    enum frame_transport transport; /* of the attempt under way */
    struct wire_address_request request; /* INQUIRY_ADDRESS */
    struct ask ask;
    struct exchange exchange;
    struct wire_address reply; /* INQUIRY_ADDRESS, answered: at least one entry */
    struct wire_error refusal; /* the ERROR that ask.error came from; code 0: none */
    int last_failure; /* of the last attempt that was not answered */
    inquiry_done_function *on_done;
    void *ctx;
    enum inquiry_place place;
    struct inquiry *previous; /* among those waiting at the gate */
    struct inquiry *next;
};

/* Fill in inquiry->request before, for INQUIRY_ADDRESS. */
void inquiry_start(struct inquiry *inquiry, struct usher_client *client, enum inquiry_kind kind, inquiry_done_function *on_done,
                   void *ctx);

/* From the gate: go on, or end as the location did. */
void inquiry_admitted(struct inquiry *inquiry);
void inquiry_turned_away(struct inquiry *inquiry, const struct inquiry *location);

/* on_done is not called any more. One that is not under way: no-op. */
void inquiry_cancel(struct inquiry *inquiry);

/* After an error: one line for people. */
void inquiry_describe(const struct inquiry *inquiry, char message[static USHER_MESSAGE_BYTES]);
