#include "rm/mirror_load.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "rm/mirror_text.h"

#define PORTION 500

static bool node_entry(struct mirror_load *load, struct cluster_time now, const char *field, const char *value, size_t length)
{
    struct cluster_restored restored;
    return mirror_node_parse(&load->cluster->services, field, value, length, &restored) == 0 &&
           cluster_restore(load->cluster, now, &restored) == 0;
}

static bool load_entry(struct mirror_load *load, struct cluster_time now, const char *field, const char *value, size_t length)
{
    struct address address;
    char *end;
    double index = strtod(value, &end);
    (void)now;
    if (mirror_address_parse(field, &address) < 0 || end != value + length || !isfinite(index) || index < 0 || index > 1e30)
        return false;
    cluster_restore_load(load->cluster, &address, (float)index);
    return true;
}

static bool beat_entry(struct mirror_load *load, struct cluster_time now, const char *field, const char *value, size_t length)
{
    struct address address;
    char *end;
    double score = strtod(value, &end);
    double redis_now_ms = (double)(load->clock_offset_ms + (int64_t)(now.ns / NS_PER_MS));
    if (mirror_address_parse(field, &address) < 0 || end != value + length || !isfinite(score))
        return false;
    /* A beat from the future was written by the clock of a Redis that has been set back since. */
    double age_ms = redis_now_ms > score ? redis_now_ms - score : 0;
    if (age_ms < (double)(UINT64_MAX / 2 / NS_PER_MS))
        cluster_restore_age(load->cluster, now, &address, (uint64_t)age_ms * NS_PER_MS);
    return true;
}

bool mirror_load_word(struct cluster *cluster, struct cluster_time now, const struct address *address, const char *value,
                      size_t length, bool *ret_adopted)
{
    struct wire_admin admin;
    char reason[NODE_REASON_BYTES_MAX + 1];
    return mirror_admin_parse(value, length, &admin, reason) == 0 &&
           cluster_restore_admin(cluster, now, address, &admin, reason, ret_adopted) == 0;
}

static bool admin_entry(struct mirror_load *load, struct cluster_time now, const char *field, const char *value, size_t length)
{
    struct address address;
    bool adopted;
    if (mirror_address_parse(field, &address) < 0 || !mirror_load_word(load->cluster, now, &address, value, length, &adopted))
        return false;
    load->words_adopted += adopted;
    return true;
}

/* In this order: loads and ages belong to nodes that are known; the words of operators last, which are also read alone. */
static const struct {
    const char *command;
    enum redis_key key;
    bool (*entry)(struct mirror_load *load, struct cluster_time now, const char *field, const char *value, size_t length);
} steps[] = {
    {"HSCAN", REDIS_KEY_NODES, node_entry},
    {"ZSCAN", REDIS_KEY_LOADS, load_entry},
    {"ZSCAN", REDIS_KEY_BEATS, beat_entry},
    {"HSCAN", REDIS_KEY_ADMIN, admin_entry},
};

static void portion_request(struct mirror_load *load, const char *cursor);

/* [cursor, [field, value, field, value, …]] */
static bool portion_is_sound(const struct redisReply *reply)
{
    return redis_reply_count(reply) == 2 && redis_reply_is_text(redis_reply_item(reply, 0)) &&
           redis_reply_is_list(redis_reply_item(reply, 1));
}

static void portion_take(struct mirror_load *load, const struct redisReply *items)
{
    struct cluster_time now = {.ns = loop_now_ns(load->loop), .wall_ms = loop_wall_ms(load->loop)};
    for (size_t i = 0; i + 1 < redis_reply_count(items); i += 2) {
        size_t length;
        const char *field = redis_reply_text(redis_reply_item(items, i), NULL);
        const char *value = redis_reply_text(redis_reply_item(items, i + 1), &length);
        if (!steps[load->step].entry(load, now, field, value, length))
            load->unreadable++;
    }
}

static void on_portion(void *ctx, const struct redisReply *reply)
{
    struct mirror_load *load = ctx;
    if (!reply) {
        load->on_done(load->ctx, -ECONNRESET);
        return;
    }
    if (!portion_is_sound(reply)) {
        load->on_done(load->ctx, -EPROTO);
        return;
    }
    portion_take(load, redis_reply_item(reply, 1));
    const char *cursor = redis_reply_text(redis_reply_item(reply, 0), NULL);
    if (strcmp(cursor, "0") == 0 && ++load->step == ARRAY_COUNT(steps))
        load->on_done(load->ctx, 0);
    else
        portion_request(load, cursor);
}

static void portion_request(struct mirror_load *load, const char *cursor)
{
    struct redis_command command = {.word_count = 0};
    char key[REDIS_KEY_BYTES];
    redis_command_begin(&command, steps[load->step].command);
    redis_command_add(&command, redis_key_format(steps[load->step].key, load->region, key));
    redis_command_add(&command, cursor);
    redis_command_add(&command, "COUNT");
    redis_command_add_number(&command, PORTION);
    int error = redis_connection_call(load->connection, &command, on_portion, load);
    redis_command_done(&command);
    if (error < 0)
        load->on_done(load->ctx, error == -ENOMEM ? -ENOMEM : -ECONNRESET);
}

static void load_begin(struct mirror_load *load, uint32_t step)
{
    load->step = step;
    load->unreadable = 0;
    load->words_adopted = 0;
    portion_request(load, "0");
}

void mirror_load_begin(struct mirror_load *load)
{
    load_begin(load, 0);
}

void mirror_load_words_begin(struct mirror_load *load)
{
    load_begin(load, ARRAY_COUNT(steps) - 1);
}
