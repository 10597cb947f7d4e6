#include "rm/listing.h"

#include <errno.h>
#include <stdlib.h>

#include "core/io/loop.h"
#include "rm/node_text.h"

/* What ends a piece, after some 100 µs: text made, at 200 to 600 bytes and 1 to 3 µs a row, or slots looked at, where few have a row. */
#define PIECE_BYTES 16384u
#define PIECE_SLOTS 1024u

struct listing {
    const struct cluster *cluster;
    struct loop *loop;
    enum listing_kind kind;
    bool of_one_service;
    uint64_t service_id;
    bool begun;
    bool any; /* row was made */
    uint32_t slot; /* the next to be looked at */
    uint32_t slot_end;
    uint64_t joined_count; /* nodes that had joined when the list was begun */
};

static const struct {
    const char *head;
    const char *tail;
} frames[] = {
    [LISTING_NODES] = {"{\"nodes\":[", "]}\n"},
    [LISTING_NODES_ADMIN] = {"{\"ok\":true,\"nodes\":[", "]}\n"},
    [LISTING_NODES_ADMIN_EARLY] = {"{\"ok\":true,\"note\":\"" LISTING_EARLY_NOTE "\",\"nodes\":[", "]}\n"},
    [LISTING_TARGETS] = {"[", "]\n"},
};

static bool node_offers(const struct node *node, uint64_t service_id)
{
    for (uint8_t i = 0; i < node->service_count; i++)
        if (node->services[i].service_id == service_id)
            return true;
    return false;
}

static bool is_in(const struct listing *listing, const struct node *node)
{
    if (node->address.family == ADDRESS_NONE || node->joined >= listing->joined_count)
        return false;
    if (listing->kind == LISTING_TARGETS && !node_is_listed(node))
        return false;
    return !listing->of_one_service || node_offers(node, listing->service_id);
}

/* A node may have no target: the comma before it goes again then. */
static int row_print(struct listing *listing, const struct node *node, struct buffer *text)
{
    const uint64_t *service_id = listing->of_one_service ? &listing->service_id : NULL;
    size_t before = text->length;
    int error = listing->any ? buffer_append(text, ",", 1) : 0;
    size_t begin = text->length;
    if (error == 0)
        error = listing->kind == LISTING_TARGETS ? node_text_print_targets(listing->cluster, node, service_id, text)
                                                 : node_text_print(listing->cluster, node, loop_now_ns(listing->loop), text);
    if (text->length == begin)
        text->length = before;
    else
        listing->any = true;
    return error;
}

static int listing_next(void *ctx, struct buffer *text)
{
    struct listing *listing = ctx;
    size_t begin = text->length;
    int error = listing->begun ? 0 : buffer_print(text, "%s", frames[listing->kind].head);
    listing->begun = true;
    uint32_t left = listing->slot_end - listing->slot;
    for (uint32_t i = 0; error == 0 && i < left && i < PIECE_SLOTS && text->length - begin < PIECE_BYTES; i++) {
        const struct node *node = &listing->cluster->nodes[listing->slot++];
        if (is_in(listing, node))
            error = row_print(listing, node, text);
    }
    if (error == 0 && listing->slot < listing->slot_end)
        return PIECES_MORE;
    return error == 0 ? buffer_print(text, "%s", frames[listing->kind].tail) : error;
}

int listing_open(const struct cluster *cluster, struct loop *loop, enum listing_kind kind, const uint64_t *service_id,
                 struct pieces *ret_pieces)
{
    struct listing *listing = malloc(sizeof(*listing));
    if (!listing)
        return -ENOMEM;
    *listing = (struct listing){
        .cluster = cluster,
        .loop = loop,
        .kind = kind,
        .of_one_service = service_id != NULL,
        .service_id = service_id ? *service_id : 0,
        .slot_end = cluster->slot_count,
        .joined_count = cluster->joined_count,
    };
    *ret_pieces = (struct pieces){.next = listing_next, .free = free, .ctx = listing};
    return 0;
}
