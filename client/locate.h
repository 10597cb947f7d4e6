/* locate - where the client belongs and which dispatchers there are: the first Location_Request (C4), the probes of faulty
 * dispatchers (C3), and asking again when an ADDRESS tells of a newer list (D12).
 *
 * Thread: the loop's. Memory: a probe is allocated when it begins and freed when it ends. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/dispatchers.h"
#include "client/exchange.h"
#include "client/inquiry.h"
#include "core/wire/limits.h"

/* A LOCATION_REQUEST to one certain dispatcher. */
struct probe {
    struct usher_client *client;
    struct address address;
    enum frame_transport transport;
    struct exchange exchange;
    struct probe *previous;
    struct probe *next;
};

#define PROBES_MAX 16

struct locate {
    bool known; /* some dispatcher has said where this client belongs */
    bool asking;
    struct inquiry inquiry; /* while asking */
    struct probe *probes;
    uint32_t probe_count;
    struct timer timer; /* for the next probe */
    struct dispatchers_listed listed[REGION_DISPATCHERS_MAX]; /* room to decode into */
};

void locate_init(struct usher_client *client);

/* What is under way ends without a word. */
void locate_done(struct usher_client *client);

/* Asks for the first location, unless that is under way; the gate hears how it went. */
void locate_start(struct usher_client *client);

/* Something happened to a dispatcher: sends the probes that are due and sets the time of the next one. */
void locate_update(struct usher_client *client);

/* A dispatcher's ADDRESS came with this version of the regions' list: asks for the list when it is news. */
void locate_heard_of(struct usher_client *client, const struct address *dispatcher, uint32_t regions_version);

/* Encodes a Location_Request for this transport into DATAGRAM_BYTES_MAX bytes; returns its length. */
NODISCARD int locate_encode(struct usher_client *client, enum frame_transport transport, uint64_t request_id, uint8_t *bytes);

/* Takes what a LOCATION brings. ret_truncated: the list was longer than a datagram. USHER_EPROTOCOL; -ENOMEM. */
NODISCARD int locate_take(struct usher_client *client, const struct address *from, const struct frame *frame,
                          bool *ret_truncated);
