#include "core/node/proc_net.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool interface_parse(const char *line, struct proc_net_interface *ret_interface)
{
    const char *colon = strchr(line, ':');
    const char *end = strchr(line, '\n');
    const char *name = line + strspn(line, " ");
    if (colon == NULL || (end != NULL && colon > end))
        return false;
    size_t length = (size_t)(colon - name);
    if (length == 0 || length >= PROC_NET_NAME_BYTES)
        return false;
    memcpy(ret_interface->name, name, length);
    ret_interface->name[length] = '\0';
    /* bytes packets errs drop fifo frame compressed multicast, then the same for sending */
    return sscanf(colon + 1, " %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &ret_interface->received_bytes,
                  &ret_interface->sent_bytes) == 2;
}

void proc_net_parse(const char *text, struct proc_net *ret_net)
{
    ret_net->count = 0;
    for (const char *line = text; line != NULL && ret_net->count < PROC_NET_MAX;) {
        struct proc_net_interface *to = &ret_net->interfaces[ret_net->count];
        if (interface_parse(line, to) && strcmp(to->name, "lo") != 0)
            ret_net->count++;
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
}

static const struct proc_net_interface *interface_find(const struct proc_net *net, const char *name)
{
    for (uint32_t i = 0; i < net->count; i++)
        if (strcmp(net->interfaces[i].name, name) == 0)
            return &net->interfaces[i];
    return NULL;
}

/* An interface that was taken out and put in again begins at 0. */
static uint64_t grown(uint64_t earlier, uint64_t later)
{
    return later >= earlier ? later - earlier : 0;
}

void proc_net_moved(const struct proc_net *earlier, const struct proc_net *later, uint64_t *ret_received, uint64_t *ret_sent)
{
    uint64_t received = 0, sent = 0;
    for (uint32_t i = 0; i < later->count; i++) {
        const struct proc_net_interface *now = &later->interfaces[i];
        const struct proc_net_interface *before = interface_find(earlier, now->name);
        if (before == NULL)
            continue;
        received += grown(before->received_bytes, now->received_bytes);
        sent += grown(before->sent_bytes, now->sent_bytes);
    }
    *ret_received = received;
    *ret_sent = sent;
}
