#include "rm/mirror_load.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "rm/mirror_text.h"

#define PORTION 500

static bool node_entry(struct mirror_load *load, struct cluster_time now, const char *field, const redisReply *value)
{
    struct cluster_restored restored;
    return mirror_node_parse(&load->cluster->services, field, value->str, value->len, &restored) == 0 &&
           cluster_restore(load->cluster, now, &restored) == 0;
}

static bool beat_entry(struct mirror_load *load, struct cluster_time now, const char *field, const redisReply *value)
{
    struct address address;
    char *end;
    double score = strtod(value->str, &end);
    double redis_now_ms = (double)load->clock_offset_ms + (double)(now.ns / NS_PER_MS);
    if (mirror_address_parse(field, &address) < 0 || *end != '\0' || !isfinite(score))
        return false;
    /* A beat from the future was written by the clock of a Redis that has been set back since. */
    double age_ms = redis_now_ms > score ? redis_now_ms - score : 0;
    if (age_ms < (double)(UINT64_MAX / 2 / NS_PER_MS))
        cluster_restore_age(load->cluster, now, &address, (uint64_t)age_ms * NS_PER_MS);
    return true;
}

static bool admin_entry(struct mirror_load *load, struct cluster_time now, const char *field, const redisReply *value)
{
    struct address address;
    struct wire_admin admin;
    char reason[NODE_REASON_BYTES_MAX + 1];
    return mirror_address_parse(field, &address) == 0 && mirror_admin_parse(value->str, value->len, &admin, reason) == 0 &&
           cluster_restore_admin(load->cluster, now, &address, &admin, reason) == 0;
}

/* In this order: ages belong to nodes that are known. */
static const struct {
    const char *command;
    enum redis_key key;
    bool (*entry)(struct mirror_load *load, struct cluster_time now, const char *field, const redisReply *value);
} steps[] = {
    {"HSCAN", REDIS_KEY_NODES, node_entry},
    {"ZSCAN", REDIS_KEY_BEATS, beat_entry},
    {"HSCAN", REDIS_KEY_ADMIN, admin_entry},
};

static void portion_request(struct mirror_load *load, const char *cursor);

static bool portion_is_sound(const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[1]->elements % 2 != 0)
        return false;
    for (size_t i = 0; i < reply->element[1]->elements; i++)
        if (reply->element[1]->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return true;
}

static void portion_take(struct mirror_load *load, const struct redisReply *items)
{
    struct cluster_time now = {.ns = loop_now_ns(load->loop), .wall_ms = loop_wall_ms(load->loop)};
    for (size_t i = 0; i < items->elements; i += 2)
        if (!steps[load->step].entry(load, now, items->element[i]->str, items->element[i + 1]))
            load->unreadable++;
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
    portion_take(load, reply->element[1]);
    const char *cursor = reply->element[0]->str;
    if (cursor[0] == '0' && cursor[1] == '\0' && ++load->step == ARRAY_COUNT(steps))
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

void mirror_load_begin(struct mirror_load *load)
{
    load->step = 0;
    load->unreadable = 0;
    portion_request(load, "0");
}
