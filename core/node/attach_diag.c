#include "core/node/attach_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/check.h"

#define STATE_ESTABLISHED 1u

struct request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 wanted;
    struct nlattr filter;
    struct inet_diag_bc_op program[3 * ATTACHED_MAX];
};
_Static_assert(sizeof(struct request) == ATTACH_DIAG_REQUEST_BYTES_MAX, "as the header says");

/* For each port but the last: "if the local port is this one, jump to the end, else go on"; the last: "if it is not, jump beyond the
 * end", which is what refuses. Jumps count bytes; a comparison's port stands in the next step's `no`. Returns the number of steps. */
static uint32_t program_write(const uint16_t ports[], uint32_t port_count,
                              struct inet_diag_bc_op ret_program[static 3 * ATTACHED_MAX])
{
    const uint16_t op_bytes = sizeof(struct inet_diag_bc_op);
    uint32_t total = 3 * port_count - 1, used = 0;
    for (uint32_t i = 0; i < port_count; i++) {
        ret_program[used++] =
            (struct inet_diag_bc_op){INET_DIAG_BC_S_EQ, (unsigned char)(2 * op_bytes), (uint16_t)(3 * op_bytes)};
        ret_program[used++] = (struct inet_diag_bc_op){.no = ports[i]};
        if (i + 1 < port_count) {
            ret_program[used] =
                (struct inet_diag_bc_op){INET_DIAG_BC_JMP, (unsigned char)op_bytes, (uint16_t)((total - used) * op_bytes)};
            used++;
        }
    }
    return used;
}

size_t attach_diag_request(enum address_family family, const uint16_t ports[], uint32_t port_count,
                           uint8_t ret_bytes[static ATTACH_DIAG_REQUEST_BYTES_MAX])
{
    CHECK(port_count >= 1 && port_count <= ATTACHED_MAX);
    struct request request = {
        .head = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .wanted = {.sdiag_family = family == ADDRESS_IPV4 ? AF_INET : AF_INET6,
                   .sdiag_protocol = IPPROTO_TCP,
                   .idiag_states = 1u << STATE_ESTABLISHED},
        .filter = {.nla_type = INET_DIAG_REQ_BYTECODE},
    };
    size_t program_bytes = program_write(ports, port_count, request.program) * sizeof(request.program[0]);
    size_t length = offsetof(struct request, program) + program_bytes;
    request.filter.nla_len = (uint16_t)(sizeof(request.filter) + program_bytes);
    request.head.nlmsg_len = (uint32_t)length;
    memcpy(ret_bytes, &request, length);
    return length;
}

static struct address local_address(const struct inet_diag_msg *message)
{
    struct address address = {.family = message->idiag_family == AF_INET ? ADDRESS_IPV4 : ADDRESS_IPV6,
                              .port = ntohs(message->id.idiag_sport)};
    memcpy(address.ip, message->id.idiag_src, message->idiag_family == AF_INET ? 4 : 16);
    return address_plain(&address);
}

int attach_diag_take(const uint8_t *bytes, size_t length, void (*on_connection)(void *ctx, const struct address *local),
                     void *ctx)
{
    for (size_t at = 0; at < length;) {
        struct nlmsghdr head;
        if (length - at < sizeof(head))
            return -EPROTO;
        memcpy(&head, bytes + at, sizeof(head));
        if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > length - at)
            return -EPROTO;
        const uint8_t *payload = bytes + at + sizeof(head);
        size_t payload_length = head.nlmsg_len - sizeof(head);
        if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) {
            int32_t error = 0;
            if (payload_length >= sizeof(error))
                memcpy(&error, payload, sizeof(error));
            return error < 0 ? error : 0;
        }
        struct inet_diag_msg message;
        if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || payload_length < sizeof(message))
            return -EPROTO;
        memcpy(&message, payload, sizeof(message));
        struct address local = local_address(&message);
        on_connection(ctx, &local);
        at += NLMSG_ALIGN(head.nlmsg_len);
    }
    return ATTACH_DIAG_MORE;
}
