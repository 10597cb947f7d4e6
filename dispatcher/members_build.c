/* The next snapshot, made in slices of the current one and of who has come and left since. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "dispatcher/members.h"

/* What a piece of work takes, in nanoseconds (measured: what is not in the cache counts). */
#define WORK_NOTE 30 /* a note: its slot's line */
#define WORK_SERVICE 10 /* one service of it */
#define WORK_CELL 5 /* of the table, copied */
#define WORK_LIST 200 /* beside what is copied */
#define WORK_WEIGHT 3 /* of a member, gathered */
#define WORK_SWEEP 12 /* a step of its list's sweeps: mostly for not knowing on which side of the mean the next one is */

/* Members of a list that are copied before the clock is looked at. */
#define LIST_CHUNK 16384u
#define CELLS_CHUNK 4096u
#define WEIGHTS_CHUNK 8192u
#define SWEEP_CHUNK 4096u

bool members_changed(const struct members *members)
{
    return members->joined_count > 0 || members->left_count > 0 || members->reweigh || members->build.phase != BUILD_NONE;
}

/* The member's services as far as it is offered for them. */
static uint32_t offered_count(const struct member *member)
{
    return member->flags & WIRE_NODE_NO_JOBS ? 0 : member->services->count;
}

static struct offered_service *service_at(struct members *members, uint32_t number)
{
    return &members->offers.services[number];
}

static struct offered_service *affected_at(struct members *members, uint32_t index)
{
    return service_at(members, members->build.affected[index]);
}

static void service_affect(struct members *members, uint32_t number)
{
    struct offered_service *service = service_at(members, number);
    if (service->affected)
        return;
    service->affected = true;
    members->build.affected[members->build.affected_count++] = number;
}

static int build_begin(struct members *members)
{
    struct snapshot_build *build = &members->build;
    *build = (struct snapshot_build){
        .phase = BUILD_COUNT,
        .joined_count = members->joined_count,
        .left_count = members->left_count,
        .service_count = members->offers.service_count,
        .reweighs = members->reweigh,
        .gone = {.slot = MEMBER_LINK_NONE},
    };
    build->affected = malloc((build->service_count + 1u) * sizeof(*build->affected));
    if (!build->affected) {
        build->phase = BUILD_NONE;
        return -ENOMEM;
    }
    members->offers.building = true;
    return 0;
}

static void build_end(struct members *members)
{
    struct snapshot_build *build = &members->build;
    for (uint32_t i = 0; i < build->left_count; i++)
        members->leaving[members->left[i] / 64] = 0;
    for (uint32_t i = 0; i < build->affected_count; i++) {
        struct offered_service *service = affected_at(members, i);
        service->affected = false;
        service->joining = 0;
        service->fresh = NULL;
    }
    free(build->weights);
    build->weights = NULL;
    free(build->affected);
    build->affected = NULL;
    build->phase = BUILD_NONE;
    members->offers.building = false;
}

void members_build_abandon(struct members *members)
{
    struct snapshot_build *build = &members->build;
    if (build->phase == BUILD_NONE)
        return;
    for (uint32_t i = 0; i < build->affected_count; i++) {
        free(affected_at(members, i)->fresh);
        offers_weights_moved(&members->offers, build->affected[i], members->weighted);
    }
    snapshot_free(build->snapshot);
    build_end(members);
}

/* ---- the phases: 1 done, 0 more to do, negative errors ---- */

static int build_count(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    for (; build->at<build->joined_count && * work> 0; build->at++) {
        const struct member *member = &members->slots[members->joined[build->at]];
        uint32_t count = member->state == MEMBER_PRESENT ? offered_count(member) : 0;
        for (uint32_t i = 0; i < count; i++) {
            service_affect(members, member->services->items[i].service);
            service_at(members, member->services->items[i].service)->joining++;
        }
        *work -= WORK_NOTE + WORK_SERVICE * count;
    }
    return build->at == build->joined_count;
}

static int build_mark(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    for (; build->at<build->left_count && * work> 0; build->at++) {
        uint32_t slot = members->left[build->at];
        const struct member *member = &members->slots[slot];
        members->leaving[slot / 64] |= UINT64_C(1) << slot % 64;
        for (uint32_t i = 0; i < offered_count(member); i++)
            service_affect(members, member->services->items[i].service);
        *work -= WORK_NOTE + WORK_SERVICE * offered_count(member);
    }
    return build->at == build->left_count;
}

static int build_moved(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    uint32_t count = build->reweighs ? build->service_count : 0;
    for (; build->at<count && * work> 0; build->at++) {
        if (service_at(members, build->at)->weights_moved)
            service_affect(members, build->at);
        *work -= WORK_SERVICE;
    }
    return build->at == count;
}

static int build_table_new(struct members *members, const struct snapshot *current)
{
    struct snapshot_build *build = &members->build;
    const struct offers *offers = &members->offers;
    if (offers->tabled_count == build->service_count && !offers->forgotten)
        return snapshot_new_like(current, &build->snapshot);
    return snapshot_new_table(build->service_count, &build->snapshot);
}

/* The table as it is, or another one with the services as they are; those affected follow. */
static int build_table(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    const struct offers *offers = &members->offers;
    bool same = offers->tabled_count == build->service_count && !offers->forgotten;
    uint32_t count = same ? current->service_mask + 1 : build->service_count;
    int error = build->snapshot ? 0 : build_table_new(members, current);
    if (error < 0)
        return error;
    while (build->at<count && * work> 0) {
        uint32_t chunk = count - build->at < CELLS_CHUNK ? count - build->at : CELLS_CHUNK;
        if (same)
            snapshot_copy_cells(build->snapshot, current, build->at, chunk);
        for (uint32_t i = build->at; !same && i < build->at + chunk; i++) {
            const struct offer_list *list = offers->services[i].list;
            snapshot_put(build->snapshot, offers->services[i].id, list ? list->members : NULL, list ? list->shares : NULL,
                         list ? list->count : 0);
        }
        *work -= (same ? WORK_CELL : WORK_NOTE) * (int64_t)chunk;
        build->at += chunk;
    }
    return build->at == count;
}

static int list_begin(struct offered_service *service, bool weighted)
{
    uint32_t capacity = service->joining + (service->list ? service->list->count : 0);
    size_t member_bytes = sizeof(struct snapshot_member) + (weighted ? sizeof(struct snapshot_share) : 0);
    service->fresh = malloc(sizeof(*service->fresh) + capacity * member_bytes);
    if (!service->fresh)
        return -ENOMEM;
    service->fresh->next = NULL;
    service->fresh->count = 0;
    service->fresh->shares = weighted ? (struct snapshot_share *)(void *)&service->fresh->members[capacity] : NULL;
    return 0;
}

/* Appends those of `from` that don't leave. */
static void list_copy(const struct members *members, const struct snapshot_member *from, uint32_t count, struct offer_list *fresh)
{
    struct snapshot_member *to = fresh->members;
    uint32_t kept = fresh->count;
    for (uint32_t i = 0; i < count; i++) {
        to[kept] = from[i];
        kept += !(members->leaving[from[i].slot / 64] >> (from[i].slot % 64) & 1);
    }
    fresh->count = kept;
}

static int build_lists(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    while (*work > 0 && build->at < build->affected_count) {
        struct offered_service *service = affected_at(members, build->at);
        const struct offer_list *list = service->list;
        uint32_t total = list ? list->count : 0;
        if (build->copied == 0 && list_begin(service, members->weighted) < 0)
            return -ENOMEM;
        uint32_t chunk = total - build->copied < LIST_CHUNK ? total - build->copied : LIST_CHUNK;
        if (list)
            list_copy(members, &list->members[build->copied], chunk, service->fresh);
        build->copied += chunk;
        *work -= WORK_LIST + (int64_t)chunk;
        if (build->copied < total)
            continue;
        build->copied = 0;
        build->at++;
    }
    return build->at == build->affected_count;
}

static int build_join(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    for (; build->at<build->joined_count && * work> 0; build->at++) {
        uint32_t slot = members->joined[build->at];
        const struct member *member = &members->slots[slot];
        /* Who has left already since it came, or since it was counted, need not be shown. */
        uint32_t count = member->state == MEMBER_PRESENT ? offered_count(member) : 0;
        for (uint32_t i = 0; i < count; i++) {
            struct offer_list *list = service_at(members, member->services->items[i].service)->fresh;
            list->members[list->count++] = (struct snapshot_member){
                .slot = slot & (SNAPSHOT_SLOTS_MAX - 1),
                .service_ordinal = i & 31u,
            };
        }
        *work -= WORK_NOTE + WORK_SERVICE * count;
    }
    return build->at == build->joined_count;
}

/* ---- the shares of a fresh list: its weights as they are now, then the sweeps ---- */

static int weights_begin(struct members *members, const struct offered_service *service)
{
    struct snapshot_build *build = &members->build;
    build->weights = malloc(service->fresh->count * sizeof(*build->weights));
    if (!build->weights)
        return -ENOMEM;
    build->weight = 0;
    build->sweeping = false;
    build->copied = 0;
    offers_weights_moved(&members->offers, build->affected[build->at], false);
    return 0;
}

static void weights_gather(struct members *members, const struct offer_list *list, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    uint32_t left = list->count - build->copied;
    uint32_t end = build->copied + (left < WEIGHTS_CHUNK ? left : WEIGHTS_CHUNK);
    *work -= WORK_LIST + WORK_WEIGHT * (int64_t)(end - build->copied);
    for (; build->copied < end; build->copied++) {
        struct snapshot_member member = list->members[build->copied];
        float weight = *members_weight_at(members, member.slot, member.service_ordinal);
        build->weights[build->copied] = weight;
        build->weight += (double)weight;
        list->shares[build->copied] = share_whole(member);
    }
    if (build->copied < list->count)
        return;
    shares_begin(&build->shares, list->members, build->weights, build->weight, list->shares, list->count);
    build->sweeping = true;
}

/* True: its shares are made. */
static bool weights_sweep(struct members *members, const struct offer_list *list, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    uint32_t steps = list->count < SWEEP_CHUNK / 4 ? list->count * 4 + 4 : SWEEP_CHUNK;
    *work -= WORK_SWEEP * (int64_t)steps;
    if (!shares_continue(&build->shares, steps))
        return false;
    free(build->weights);
    build->weights = NULL;
    return true;
}

static int build_weigh(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    while (build->at<build->affected_count && * work> 0) {
        const struct offered_service *service = affected_at(members, build->at);
        if (!service->fresh->shares || service->fresh->count == 0) {
            /* Without shares, but wanted by now: for the next build. */
            bool lacking = members->weighted && service->fresh->count > 0;
            offers_weights_moved(&members->offers, build->affected[build->at++], lacking);
            *work -= WORK_NOTE;
            continue;
        }
        if (!build->weights && weights_begin(members, service) < 0)
            return -ENOMEM;
        if (!build->sweeping)
            weights_gather(members, service->fresh, work);
        else
            build->at += weights_sweep(members, service->fresh, work);
    }
    return build->at == build->affected_count;
}

static int build_put(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    for (; build->at<build->affected_count && * work> 0; build->at++) {
        struct offered_service *service = affected_at(members, build->at);
        if (service->list) {
            service->list->next = build->gone.lists;
            build->gone.lists = service->list;
        }
        service->list = service->fresh;
        if (service->list->count == 0) {
            free(service->list);
            service->list = NULL;
        }
        snapshot_put(build->snapshot, service->id, service->list ? service->list->members : NULL,
                     service->list ? service->list->shares : NULL, service->list ? service->list->count : 0);
        *work -= WORK_NOTE;
    }
    return build->at == build->affected_count;
}

static int build_collect(struct members *members, const struct snapshot *current, int64_t *work)
{
    struct snapshot_build *build = &members->build;
    (void)current;
    for (; build->at<build->left_count && * work> 0; build->at++) {
        uint32_t slot = members->left[build->at];
        members->slots[slot].link = build->gone.slot & MEMBER_LINK_NONE;
        build->gone.slot = slot;
        *work -= WORK_NOTE;
    }
    return build->at == build->left_count;
}

static int (*const phases[BUILD_PHASES])(struct members *members, const struct snapshot *current, int64_t *work) = {
    [BUILD_COUNT] = build_count, [BUILD_MARK] = build_mark,   [BUILD_MOVED] = build_moved,
    [BUILD_TABLE] = build_table, [BUILD_LISTS] = build_lists, [BUILD_JOIN] = build_join,
    [BUILD_WEIGH] = build_weigh, [BUILD_PUT] = build_put,     [BUILD_COLLECT] = build_collect,
};

static void build_finish(struct members *members, struct snapshot **ret_snapshot, struct members_gone *ret_gone)
{
    struct snapshot_build *build = &members->build;
    *ret_snapshot = build->snapshot;
    *ret_gone = build->gone;
    members->offers.tabled_count = build->service_count;
    members->offers.forgotten = false;
    members->reweigh = members->reweigh && !build->reweighs;
    build_end(members);
    members->joined_count -= build->joined_count;
    members->left_count -= build->left_count;
    memmove(members->joined, members->joined + build->joined_count, members->joined_count * sizeof(*members->joined));
    memmove(members->left, members->left + build->left_count, members->left_count * sizeof(*members->left));
}

int members_build(struct members *members, const struct snapshot *current, int64_t *work, struct snapshot **ret_snapshot,
                  struct members_gone *ret_gone)
{
    struct snapshot_build *build = &members->build;
    int result = build->phase == BUILD_NONE ? build_begin(members) : 0;
    while (result >= 0 && build->phase < BUILD_PHASES) {
        result = phases[build->phase](members, current, work);
        if (result == 0)
            return -EAGAIN;
        if (result < 0)
            break;
        build->phase++;
        build->at = 0;
    }
    if (result < 0) {
        members_build_abandon(members);
        return result;
    }
    build_finish(members, ret_snapshot, ret_gone);
    return 0;
}
