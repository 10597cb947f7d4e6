/* proc_net - what Linux says in /proc/net/dev about the bytes that its network interfaces moved, parsed from its text.
 *
 * Source: proc(5). Pure: reading the files is resources.c's. Thread: any. Nothing blocks or allocates. */
#pragma once

#include <stdint.h>

#define PROC_NET_MAX 64u
#define PROC_NET_NAME_BYTES 16 /* IFNAMSIZ */

struct proc_net_interface {
    char name[PROC_NET_NAME_BYTES];
    uint64_t received_bytes; /* since it is there */
    uint64_t sent_bytes;
};

struct proc_net {
    uint32_t count;
    struct proc_net_interface interfaces[PROC_NET_MAX];
};

/* Without lo. Those above PROC_NET_MAX are left out. */
void proc_net_parse(const char *text, struct proc_net *ret_net);

/* Bytes moved between two readings by the interfaces that are in both. */
void proc_net_moved(const struct proc_net *earlier, const struct proc_net *later, uint64_t *ret_received, uint64_t *ret_sent);
