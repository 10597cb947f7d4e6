/* The side of the dispatchers: asks leave, addresses come. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/jobs_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"

static const struct address *asker_dispatcher(const struct jobs *jobs, uint32_t index)
{
    return &jobs->config->dispatchers[index % jobs->config->dispatcher_count];
}

/* Every dispatcher is asked from every source. */
static int asker_open(struct jobs *jobs, uint32_t index)
{
    const struct jobs_config *config = jobs->config;
    const struct address *dispatcher = asker_dispatcher(jobs, index);
    uint32_t turn = index / config->dispatcher_count;
    if (config->tcp)
        return link_open(&jobs->askers[index].link, dispatcher, &config->sources, turn);
    struct link *link = &jobs->askers[index].link;
    struct sockaddr_storage name;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = link->tag};
    socklen_t length = address_to_socket(dispatcher, &name);
    link->fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return -errno;
    int error = source_bind(&config->sources, link->fd, dispatcher->family, false, turn);
    if (error < 0)
        return error;
    if (connect(link->fd, (const struct sockaddr *)&name, length) < 0 ||
        epoll_ctl(jobs->epoll_fd, EPOLL_CTL_ADD, link->fd, &event) < 0)
        return -errno;
    return 0;
}

int askers_open(struct jobs *jobs, struct conf_error *ret_error)
{
    uint32_t count = jobs->config->connections;
    int error = source_allow_descriptors(count, ret_error);
    if (error < 0)
        return error;
    jobs->askers = calloc(count, sizeof(*jobs->askers));
    for (uint32_t i = 0; jobs->askers && i < count; i++)
        link_init(&jobs->askers[i].link, jobs->epoll_fd, jobs_tag(JOBS_ASKER, i));
    for (uint32_t i = 0; i < count; i++) {
        error = jobs->askers ? asker_open(jobs, i) : -ENOMEM;
        if (error < 0)
            return source_failed(i + 1, asker_dispatcher(jobs, i), error, ret_error);
        jobs->askers_alive++;
    }
    return 0;
}

void askers_close(struct jobs *jobs)
{
    for (uint32_t i = 0; jobs->askers && i < jobs->config->connections; i++)
        link_close(&jobs->askers[i].link);
    free(jobs->askers);
}

static void asker_lost(struct jobs *jobs, uint32_t index, int error)
{
    jobs->askers_alive--;
    if (jobs->askers[index].asking == 0)
        tally_error(jobs->tally, error_name(error));
    jobs_end_all(jobs, JOBS_ASKER, index, error_name(error));
}

/* A random one, as clients choose (C1): the next one that still lives. */
static uint32_t asker_choose(struct jobs *jobs)
{
    uint32_t count = jobs->config->connections, index = random_below(&jobs->random, count);
    while (jobs->askers[index].link.fd < 0)
        index = index + 1 < count ? index + 1 : 0;
    return index;
}

static int asker_write(const struct jobs *jobs, const struct jobs_asker *asker, uint64_t id,
                       uint8_t bytes[static DATAGRAM_BYTES_MAX])
{
    struct wire_address_request request = {
        .service_id = jobs->config->service_id,
        .count = 1,
        .wait_ms = (uint32_t)(jobs->config->timeout_ns / NS_PER_MS),
        .has_feedback = asker->has_feedback,
        .feedback = asker->feedback,
    };
    uint32_t padded_length = jobs->config->tcp ? 0 : wire_address_bytes(1, ADDRESS_IPV6);
    return wire_address_request_encode(&request, id, padded_length, bytes, DATAGRAM_BYTES_MAX);
}

/* What ICMP said, of one of the requests that wait. */
static void asker_note(struct jobs *jobs, struct jobs_asker *asker, int error)
{
    asker->failure = error_name(error);
    asker->failed_ns = jobs->now_ns;
    tally_error(jobs->tally, asker->failure);
}

/* An error that belongs to an earlier datagram is reported by the send after it, which must then be repeated. */
static int asker_send_udp(struct jobs *jobs, struct jobs_asker *asker, const uint8_t *bytes, size_t length)
{
    for (int i = 0;; i++) {
        if (send(asker->link.fd, bytes, length, MSG_DONTWAIT) >= 0)
            return 0;
        int error = -errno;
        if (error == -EAGAIN || error == -ENOBUFS || i > 0)
            return error;
        asker_note(jobs, asker, error);
    }
}

bool asker_ask(struct jobs *jobs, uint64_t planned_ns)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint32_t index = asker_choose(jobs);
    struct jobs_asker *asker = &jobs->askers[index];
    uint64_t id = ledger_open(&jobs->ledger, planned_ns, index);
    int length = asker_write(jobs, asker, id, bytes), error = length < 0 ? length : 0;
    jobs->slots[(uint32_t)id] = (struct job){.asked_ns = jobs->now_ns, .state = JOB_ASKING};
    asker->asking++;
    if (error == 0 && !jobs->config->tcp)
        error = asker_send_udp(jobs, asker, bytes, (size_t)length);
    if (UNLIKELY(error == -EAGAIN || error == -ENOBUFS)) {
        (void)ledger_close(&jobs->ledger, id);
        asker->asking--;
        jobs->refused = true;
        return false;
    }
    asker->has_feedback = false;
    tally_sent(jobs->tally, planned_ns, jobs->now_ns, 1);
    if (error == 0 && jobs->config->tcp) {
        error = link_send(&asker->link, bytes, (size_t)length, NULL, 0);
        if (error < 0)
            asker_lost(jobs, index, error);
    } else if (error < 0) {
        job_lose(jobs, id, error_name(error));
    }
    return true;
}

void asker_tell(struct jobs *jobs, uint32_t index, const struct job *job, enum wire_outcome outcome)
{
    struct jobs_asker *asker = &jobs->askers[index];
    uint64_t latency_us = (jobs->now_ns - job->submitted_ns) / NS_PER_US;
    asker->has_feedback = true;
    asker->feedback = (struct wire_feedback){
        .node = jobs->nodes[job->node].address,
        .outcome = (uint8_t)outcome,
        .latency_us = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX,
    };
}

static void asker_take(struct jobs *jobs, uint32_t index, const struct frame *frame)
{
    const struct ledger_entry *entry;
    struct wire_address address;
    struct wire_error told;
    enum refusal refusal;
    struct job *job = job_find(jobs, frame->request_id, &entry);
    int error = USHER_EPROTOCOL;
    if (!job || job->state != JOB_ASKING || entry->connection != index) {
        jobs->tally->unexpected++;
        return;
    }
    if (frame->type == FRAME_TYPE_ADDRESS) {
        error = wire_address_decode(frame, &address, &refusal);
        if (error >= 0 && address.count != 1)
            error = address.count == 0 ? USHER_ETOOLARGE : USHER_EPROTOCOL;
        if (error >= 0 && (address.entries[0].state & WIRE_ADDRESS_NO_ECHO))
            error = USHER_ENOTACCEPTED; /* an attached server takes no JOB */
    } else if (frame->type == FRAME_TYPE_ERROR) {
        error = wire_error_decode(frame, &told, &refusal);
        error = error < 0 ? error : wire_error_to_error(told.code);
    }
    if (error < 0) {
        job_end(jobs, frame->request_id, error_name(error));
        return;
    }
    if (tally_measures(jobs->tally, entry->planned_ns))
        histogram_add(&jobs->result->ask_us, (jobs->now_ns - job->asked_ns) / NS_PER_US);
    jobs->askers[index].asking--;
    node_submit(jobs, frame->request_id, &address.entries[0].address, address.boot_id);
}

static void asker_receive_udp(struct jobs *jobs, uint32_t index)
{
    struct frame frame;
    enum refusal refusal;
    for (;;) {
        ssize_t length = recv(jobs->askers[index].link.fd, jobs->scratch, DATAGRAM_BYTES_MAX, MSG_DONTWAIT);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (length < 0) {
            asker_note(jobs, &jobs->askers[index], -errno); /* it ends with this call */
            continue;
        }
        int result = frame_decode_datagram(jobs->scratch, (size_t)length, &frame, &refusal);
        if (result < 0)
            tally_error(jobs->tally, error_name(result));
        else
            asker_take(jobs, index, &frame);
    }
}

static void asker_receive_tcp(struct jobs *jobs, uint32_t index)
{
    int error = jobs_receive(jobs, &jobs->askers[index].link, index, asker_take);
    if (error < 0)
        asker_lost(jobs, index, error);
}

void asker_on_event(struct jobs *jobs, uint32_t index, uint32_t events)
{
    struct link *link = &jobs->askers[index].link;
    if (link->fd < 0)
        return;
    if (!jobs->config->tcp) {
        asker_receive_udp(jobs, index);
        return;
    }
    int error = link->opening || (events & EPOLLOUT) ? link_on_writable(link) : 0;
    if (error < 0)
        asker_lost(jobs, index, error);
    else if (events & ~(uint32_t)EPOLLOUT)
        asker_receive_tcp(jobs, index);
}
