/* Two cores answer over UDP and TCP while the control thread changes membership, values and policy as fast as it can, and nodes send idle
 * tokens, of which some are of nodes that have left or of another boot: every answer names a node that was a member, and none that had
 * left before the question was asked. Once on each backend that the machine allows.
 * Usage: stress_dispatcher_core [REQUESTS] */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/policy/policy.h"
#include "core/wire/address_path.h"
#include "core/wire/service.h"
#include "dispatcher/core.h"
#include "dispatcher/directory.h"
#include "dispatcher/placement.h"
#include "tests/support/stress.h"

enum {
    CORES = 2,
    SOCKETS = 6, /* of the UDP client: the kernel spreads them over the cores */
    PACKED = 8,
    REQUEST_BYTES = 60,
    MEMBERS_LEAST = 4,
    MEMBERS_MOST = 40,
    NODES_EVER = 1 << 20, /* a node that has left does not come back */
    BOOTS = 4, /* of each node, in no order: tokens are of the first */
    TOKENS_BACK = 32, /* of the newest nodes, one of so many has a token */
};

#define SERVICE service_id("echo", 4)

/* What happened is numbered. A node's entry: when it joined (before anybody could see it), and left (when nobody can see it who did not
 * yet); 0: not yet. */
static _Atomic uint64_t event;
static _Atomic uint64_t joined[NODES_EVER];
static _Atomic uint64_t left[NODES_EVER];
static _Atomic uint32_t clients_running;
static _Atomic uint32_t node_newest;

static struct directory *directory;
static struct address address; /* of the cores */
static uint32_t requests;

/* ---- clients ---- */

static uint32_t node_number(const struct address *node)
{
    return bytes_load_u32(node->ip);
}

static void answer_check(const struct frame *frame, uint64_t asked_event)
{
    struct wire_address answer;
    enum refusal refusal;
    CHECK(frame->type == FRAME_TYPE_ADDRESS);
    CHECK(wire_address_decode(frame, &answer, &refusal) == 0);
    CHECK(answer.count >= 1);
    for (uint32_t i = 0; i < answer.count; i++) {
        uint32_t node = node_number(&answer.entries[i].address);
        CHECK(node < NODES_EVER);
        uint64_t left_event = atomic_load(&left[node]);
        CHECK(atomic_load(&joined[node]) != 0);
        CHECK(left_event == 0 || left_event > asked_event);
    }
}

static int client_open(int type)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(&address, &name);
    struct timeval limit = {.tv_sec = 30};
    int fd = socket(name.ss_family, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    CHECK(connect(fd, (const struct sockaddr *)&name, name_bytes) == 0);
    return fd;
}

static size_t requests_write(uint8_t *bytes, uint64_t first_id)
{
    size_t length = 0;
    for (uint32_t i = 0; i < PACKED; i++) {
        struct wire_address_request request = {.service_id = SERVICE, .count = (uint8_t)(1 + i % 3)};
        int written = wire_address_request_encode(&request, first_id + i, REQUEST_BYTES, bytes + length, REQUEST_BYTES);
        CHECK(written == REQUEST_BYTES);
        length += REQUEST_BYTES;
    }
    return length;
}

/* All whole frames, which come in the order of their requests; returns how many bytes they took. */
static size_t frames_take(const uint8_t *bytes, size_t length, uint64_t asked_event, uint64_t *next_id)
{
    struct frame frame;
    enum refusal refusal;
    size_t used = 0;
    int taken;
    while (used < length && (taken = frame_decode_stream(bytes + used, length - used, &frame, &refusal)) != -EAGAIN) {
        CHECK(taken > 0 && frame.request_id == (*next_id)++);
        answer_check(&frame, asked_event);
        used += (size_t)taken;
    }
    return used;
}

static struct address node_address(uint32_t number)
{
    struct address node = {.family = ADDRESS_IPV4, .port = 1};
    bytes_store_u32(node.ip, number);
    return node;
}

static uint64_t boot_id(uint32_t number, uint32_t boot)
{
    return (uint64_t)number * BOOTS + boot + 1;
}

/* Nobody answers it. */
static void token_send(int fd, uint64_t sequence)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint32_t newest = atomic_load(&node_newest), back = (uint32_t)(sequence % TOKENS_BACK);
    uint32_t number = newest > back ? newest - back : newest;
    struct wire_idle_token token = {.node = node_address(number), .trailer = {boot_id(number, 0), sequence}};
    int length = wire_idle_token_encode(&token, sequence, bytes, sizeof(bytes));
    CHECK(length > 0 && send(fd, bytes, (size_t)length, 0) == length);
}

static void *client_udp_run(void *argument)
{
    int fds[SOCKETS];
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    (void)argument;
    for (uint32_t i = 0; i < SOCKETS; i++)
        fds[i] = client_open(SOCK_DGRAM);
    for (uint64_t id = 0; id < requests; id += (uint64_t)SOCKETS * PACKED) {
        uint64_t asked_event = atomic_load(&event);
        for (uint32_t i = 0; i < SOCKETS; i++) {
            token_send(fds[i], id + i + 1);
            size_t length = requests_write(bytes, id + (uint64_t)i * PACKED);
            CHECK(send(fds[i], bytes, length, 0) == (ssize_t)length);
        }
        for (uint32_t i = 0; i < SOCKETS; i++) {
            uint64_t next_id = id + (uint64_t)i * PACKED;
            uint64_t end_id = next_id + PACKED;
            while (next_id < end_id) {
                ssize_t length = recv(fds[i], bytes, sizeof(bytes), 0);
                CHECK(length > 0);
                CHECK(frames_take(bytes, (size_t)length, asked_event, &next_id) == (size_t)length);
            }
        }
    }
    for (uint32_t i = 0; i < SOCKETS; i++)
        close(fds[i]);
    atomic_fetch_sub(&clients_running, 1);
    return NULL;
}

static void *client_tcp_run(void *argument)
{
    uint8_t bytes[4096];
    (void)argument;
    for (uint64_t id = 0; id < requests;) {
        int fd = client_open(SOCK_STREAM); /* a new one now and then, perhaps on the other core */
        for (uint32_t round = 0; round < 50; round++) {
            uint64_t asked_event = atomic_load(&event);
            uint64_t end_id = id + PACKED;
            size_t length = requests_write(bytes, id);
            CHECK(send(fd, bytes, length, 0) == (ssize_t)length);
            for (length = 0; id < end_id;) {
                ssize_t more = recv(fd, bytes + length, sizeof(bytes) - length, 0);
                CHECK(more > 0);
                length += (size_t)more;
                size_t used = frames_take(bytes, length, asked_event, &id);
                length -= used;
                memmove(bytes, bytes + used, length);
            }
        }
        close(fd);
    }
    atomic_fetch_sub(&clients_running, 1);
    return NULL;
}

/* ---- control ---- */

struct control {
    struct random_state random;
    uint32_t members[MEMBERS_MOST];
    uint32_t member_count;
    uint32_t node_next;
    uint64_t sequence;
    uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
};

static struct wire_node node_of(struct control *control, uint32_t number)
{
    return (struct wire_node){
        .address = node_address(number),
        .kind = random_below(&control->random, 4) ? WIRE_NODE_WORKER : WIRE_NODE_DISPATCHER,
        .flags = random_below(&control->random, 8) ? 0 : WIRE_NODE_LAST,
        .slots = 2,
        .boot_id = boot_id(number, random_below(&control->random, BOOTS)),
        .jobs_running = random_below(&control->random, 4),
        .load_index = (float)random_unit(&control->random),
        .load_per_job = 0.1f,
        .service_count = 1,
        .services = {{
            .service_id = SERVICE,
            .flags = (uint8_t)random_below(&control->random, 2),
            .work_s = (float)random_unit(&control->random) / 100,
            .rate = (float)random_below(&control->random, 3) * 1000, /* 0: not known yet */
            .weight = (float)random_below(&control->random, 4),
        }},
    };
}

static void directory_change(struct control *control, int length)
{
    struct frame frame;
    enum refusal refusal;
    CHECK(length > 0 && frame_decode_stream(control->bytes, (size_t)length, &frame, &refusal) == length);
    CHECK(directory_take(directory, &frame, clock_monotonic_ns(), &refusal) == 0);
}

static void node_join(struct control *control, struct wire_nodes_builder *builder)
{
    uint32_t number = control->node_next++;
    struct wire_node node = node_of(control, number);
    CHECK(number < NODES_EVER);
    atomic_store(&joined[number], atomic_fetch_add(&event, 1) + 1);
    atomic_store(&node_newest, number);
    control->members[control->member_count++] = number;
    CHECK(wire_nodes_add(builder, &node) == 0);
}

/* One leaves, some change, some join. */
static void delta_apply(struct control *control)
{
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.rm_id = 1, .epoch = 1, .base_sequence = control->sequence, .sequence = control->sequence + 1};
    uint32_t gone = UINT32_MAX;
    wire_delta_begin(&builder, &delta, 1, control->bytes, sizeof(control->bytes));
    if (control->member_count > MEMBERS_LEAST && random_below(&control->random, 2)) {
        uint32_t index = random_below(&control->random, control->member_count);
        gone = control->members[index];
        control->members[index] = control->members[--control->member_count];
        struct wire_node node = node_of(control, gone);
        CHECK(wire_nodes_add_removed(&builder, &node.address) == 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct wire_node node = node_of(control, control->members[random_below(&control->random, control->member_count)]);
        CHECK(wire_nodes_add(&builder, &node) == 0);
    }
    if (control->member_count < MEMBERS_MOST && random_below(&control->random, 2))
        node_join(control, &builder);
    control->sequence++;
    directory_change(control, wire_nodes_finish(&builder, false));
    if (gone != UINT32_MAX)
        atomic_store(&left[gone], atomic_fetch_add(&event, 1) + 1);
}

/* Everybody is replaced by as many others. */
static void list_apply(struct control *control)
{
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = {1, 1, ++control->sequence}, .node_total = 10, .first = true};
    uint32_t gone[MEMBERS_MOST];
    uint32_t gone_count = control->member_count;
    memcpy(gone, control->members, sizeof(gone));
    control->member_count = 0;
    wire_directory_begin(&builder, &list, 1, control->bytes, sizeof(control->bytes));
    for (uint32_t i = 0; i < 10; i++)
        node_join(control, &builder);
    directory_change(control, wire_nodes_finish(&builder, false));
    for (uint32_t i = 0; i < gone_count; i++)
        atomic_store(&left[gone[i]], atomic_fetch_add(&event, 1) + 1);
}

static uint64_t control_run(struct control *control, struct core_shared *shared, struct loop *loop)
{
    static const enum policy policies[] = {POLICY_FINISH_TIME, POLICY_TWO_CHOICES, POLICY_BELOW_AVERAGE,
                                           POLICY_RANDOM,      POLICY_ROUND_ROBIN, POLICY_WEIGHTED};
    enum policy policy = POLICY_FINISH_TIME;
    uint64_t changes = 0;
    while (atomic_load(&clients_running) > 0 && control->node_next < NODES_EVER - 20) {
        if (changes % 64 == 0)
            list_apply(control);
        else
            delta_apply(control);
        if (changes % 8 == 0) /* finish-time half of the time: it has most to get wrong */
            policy = policies[random_below(&control->random, 2) * random_below(&control->random, ARRAY_COUNT(policies))];
        placement_set_on(shared->placement, policy == POLICY_FINISH_TIME);
        for (uint32_t slot = 0; slot < directory->members.slot_count; slot++)
            finish_time_settle(&directory->members.values[slot], loop_now_ns(loop));
        CHECK(loop_run_once(loop, 0) == 0);
        atomic_store_explicit(&shared->policy, policy, memory_order_relaxed);
        directory_set_weighted(directory, policy != POLICY_RANDOM);
        stress_pause(&control->random);
        changes++;
    }
    return changes;
}

/* ---- life ---- */

static bool cores_open(enum loop_kind kind, struct core_shared *shared, struct core *cores[static CORES])
{
    struct core_config config = {.shared = shared, .loop_kind = kind, .queue_capacity = 8192, .connections_max = 1000};
    CHECK(address_parse("127.0.0.1:0", &config.address) == 0);
    for (; config.index < CORES; config.index++) {
        int error = core_new(&config, &cores[config.index]);
        if (error < 0) {
            CHECK(kind == LOOP_URING && config.index == 0);
            return false;
        }
        config.address = *core_address(cores[config.index]);
    }
    address = config.address;
    return true;
}

static void round_run(enum loop_kind kind, const char *name)
{
    struct core_shared shared = {.boot_id = 1, .region = 1, .queue_factor = 1.5f};
    struct core *cores[CORES];
    pthread_t clients[2];
    struct loop *loop;
    struct loop_config loop_config;
    struct counters counters = {0};
    struct control *control = stress_allocate(1, sizeof(*control));
    loop_config_init(&loop_config);
    loop_config.kind = LOOP_EPOLL;
    CHECK(loop_new(&loop_config, &loop) == 0);
    CHECK(directory_new(1, CORES, &directory) == 0);
    CHECK(placement_new(loop, &directory->members, &counters, CORES, 1.5f, &shared.placement) == 0);
    directory->members.placement = shared.placement;
    shared.publication = &directory->publication;
    shared.values = directory->members.values;
    memset(joined, 0, sizeof(joined));
    memset(left, 0, sizeof(left));
    random_init(&control->random, 1);
    control->node_next = 1;
    if (cores_open(kind, &shared, cores)) {
        list_apply(control);
        for (uint32_t i = 0; i < CORES; i++)
            CHECK(core_start(cores[i]) == 0);
        atomic_store(&clients_running, 2);
        stress_thread_start(&clients[0], client_udp_run, NULL);
        stress_thread_start(&clients[1], client_tcp_run, NULL);
        uint64_t changes = control_run(control, &shared, loop);
        stress_threads_join(clients, 2);
        for (uint32_t i = 0; i < CORES; i++)
            core_stop(cores[i]);
        for (uint32_t i = 0; i < CORES; i++)
            core_free(cores[i]);
        printf("stress_dispatcher_core: %s: %lu changes, %u nodes in %u slots, %lu of %lu tokens taken\n", name,
               (unsigned long)changes, control->node_next, directory->members.slot_count,
               (unsigned long)counter_read(&counters, COUNTER_TOKENS_TAKEN),
               (unsigned long)(counter_read(&counters, COUNTER_TOKENS_TAKEN) + counter_read(&counters, COUNTER_TOKENS_STALE) +
                               counter_read(&counters, COUNTER_TOKENS_UNKNOWN)));
    } else {
        printf("stress_dispatcher_core: %s: not allowed on this machine\n", name);
    }
    directory_free(directory);
    placement_free(shared.placement);
    loop_free(loop);
    free(control);
}

int main(int argc, char **argv)
{
    requests = stress_operations(argc, argv, 20000);
    round_run(LOOP_EPOLL, "epoll");
    round_run(LOOP_URING, "uring");
    return 0;
}
