/* gate - where questions for addresses wait: until the client knows its region (C4: the first request is a Location_Request), and
 * until fewer than GATE_OPEN_MAX are under way.
 *
 * The limit keeps a burst of a program's calls from overrunning a dispatcher's socket buffer, where the lost ones would look like a
 * dispatcher that does not answer. First come, first served.
 * Thread: the loop's. Memory: inquiries are members of their owners. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A default receive buffer (208 KiB) holds 160 small datagrams with what the kernel adds to each. */
#define GATE_OPEN_MAX 128

struct usher_client;
struct inquiry;

struct gate {
    struct inquiry *first;
    struct inquiry *last;
    uint32_t open; /* inquiries let through and not yet done */
    bool opening;
};

/* inquiry_admitted follows, perhaps at once, or inquiry_turned_away. */
void gate_enter(struct usher_client *client, struct inquiry *inquiry);

/* It waits no more. */
void gate_leave(struct usher_client *client, struct inquiry *inquiry);

/* An admitted one is done; gate_update should follow. */
void gate_done(struct usher_client *client);

/* Lets through who may: the location is known, or somebody is done. */
void gate_update(struct usher_client *client);

/* The location could not be had: everybody who waits ends as it did. */
void gate_turn_away(struct usher_client *client, const struct inquiry *location);
