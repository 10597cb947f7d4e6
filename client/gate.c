#include "client/gate.h"

#include <stddef.h>

#include "client/client.h"

static void gate_unlink(struct gate *gate, struct inquiry *inquiry)
{
    if (inquiry->next)
        inquiry->next->previous = inquiry->previous;
    else
        gate->last = inquiry->previous;
    if (inquiry->previous)
        inquiry->previous->next = inquiry->next;
    else
        gate->first = inquiry->next;
    inquiry->place = INQUIRY_OUTSIDE;
}

void gate_enter(struct usher_client *client, struct inquiry *inquiry)
{
    struct gate *gate = &client->gate;
    inquiry->place = INQUIRY_WAITING;
    inquiry->next = NULL;
    inquiry->previous = gate->last;
    if (inquiry->previous)
        inquiry->previous->next = inquiry;
    else
        gate->first = inquiry;
    gate->last = inquiry;
    if (client->locate.known)
        gate_update(client);
    else
        locate_start(client);
}

void gate_leave(struct usher_client *client, struct inquiry *inquiry)
{
    gate_unlink(&client->gate, inquiry);
}

void gate_done(struct usher_client *client)
{
    client->gate.open--;
}

void gate_update(struct usher_client *client)
{
    struct gate *gate = &client->gate;
    /* One that is let through may be done at once and come back here: the loop below goes on then, not deeper. */
    if (gate->opening)
        return;
    gate->opening = true;
    while (client->locate.known && gate->first && gate->open < GATE_OPEN_MAX) {
        struct inquiry *inquiry = gate->first;
        gate_unlink(gate, inquiry);
        gate->open++;
        inquiry_admitted(inquiry);
    }
    gate->opening = false;
}

void gate_turn_away(struct usher_client *client, const struct inquiry *location)
{
    /* Ends: whoever is told so asks again in a later batch at the soonest. */
    while (client->gate.first) {
        struct inquiry *inquiry = client->gate.first;
        gate_unlink(&client->gate, inquiry);
        inquiry_turned_away(inquiry, location);
    }
}
