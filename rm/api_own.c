/* A node of Usher's own that is told --rm http://…: it says over HTTP just what it would say in datagrams, and is told the same. */
#include "core/api/heartbeat_json.h"
#include "rm/api.h"

static int acknowledge(struct rm *rm, uint32_t slot, uint64_t sequence, struct http_answer *answer)
{
    struct wire_heartbeat_ack ack;
    reception_acknowledge(rm->reception, slot, sequence, &ack);
    return api_answer(answer, json_pack("{s:o}", "ack", heartbeat_ack_to_json(&ack)));
}

int api_own_take(struct rm *rm, const struct address *address, const json_t *root, bool registers, struct http_answer *answer)
{
    char text[HEARTBEAT_JSON_TEXT_BYTES];
    struct wire_register registration;
    struct wire_heartbeat heartbeat;
    uint32_t slot = NODE_NONE;
    int error =
        registers ? register_from_json(root, address, &registration, text) : heartbeat_from_json(root, address, &heartbeat, text);
    if (error < 0)
        return api_refuse(answer, 400, "%s", text);
    enum cluster_verdict verdict = registers ? cluster_register(rm->cluster, rm_now(rm), &registration, &slot)
                                             : cluster_heartbeat(rm->cluster, rm_now(rm), &heartbeat, &slot);
    reception_count(rm->reception, verdict);
    /* What the node has said since, in datagrams to this same rm, came first: it is heard of all the same. */
    if (verdict == CLUSTER_REPLAYED)
        slot = cluster_find(rm->cluster, address);
    if ((verdict != CLUSTER_ACCEPTED && verdict != CLUSTER_REPLAYED) || slot == NODE_NONE)
        return api_refuse_verdict(answer, verdict);
    subscribers_notify(rm->subscribers);
    return acknowledge(rm, slot, registers ? registration.trailer.sequence : heartbeat.trailer.sequence, answer);
}
