/* Values that are lists. An empty text is an empty list, so that a configuration file or the command line can empty a default.
 * */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/conf/value.h"

/* Room for one more item of `item_bytes` behind `count`. */
static int list_grow(void **item, uint32_t count, size_t item_bytes, struct conf_error *ret_error)
{
    if (count >= CONF_LIST_ITEMS_MAX) {
        conf_error_set(ret_error, "more than %d items; give fewer", CONF_LIST_ITEMS_MAX);
        return -EINVAL;
    }
    void *grown = realloc(*item, (count + 1) * item_bytes);
    if (!grown) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    *item = grown;
    return 0;
}

static int texts_add(struct conf_texts *texts, const char *text, struct conf_error *ret_error)
{
    void *item = texts->item;
    int error = list_grow(&item, texts->count, sizeof(*texts->item), ret_error);
    texts->item = item;
    if (error < 0)
        return error;
    texts->item[texts->count] = strdup(text);
    if (!texts->item[texts->count]) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    texts->count++;
    return 0;
}

static int list_add(const struct conf_option *option, struct conf_texts *texts, const char *item, struct conf_error *ret_error)
{
    if (*item == '\0') {
        conf_error_set(ret_error, "an item is empty; separate items with one comma");
        return -EINVAL;
    }
    if (option->allowed[0] && value_choose(option->allowed, item, ret_error) < 0)
        return -EINVAL;
    return texts_add(texts, item, ret_error);
}

/* A command may hold commas: exec:NAME=COMMAND reaches to the end. */
static int parse_texts(const struct conf_option *option, const char *text, struct conf_texts *texts, struct conf_error *ret_error)
{
    char item[VALUE_ITEM_BYTES_MAX];
    int error = 0;
    if (option->kind == CONF_TEXTS)
        return texts_add(texts, text, ret_error);
    for (const char *cursor = text; error == 0 && cursor;) {
        if (strncmp(cursor, "exec:", 5) == 0)
            return list_add(option, texts, cursor, ret_error);
        value_next_item(&cursor, ',', item);
        error = list_add(option, texts, item, ret_error);
    }
    return error;
}

/* "http://1.2.3.4:80", where that may be said. */
static const char *scheme_take(struct conf_addresses *addresses, const char *text)
{
    static const char http[] = "http://";
    if (strncmp(text, http, strlen(http)) != 0 || addresses->count >= CONF_ENDPOINTS_MAX)
        return text;
    addresses->http |= UINT64_C(1) << addresses->count;
    return text + strlen(http);
}

static int parse_addresses(const struct conf_option *option, const char *text, struct conf_addresses *addresses,
                           struct conf_error *ret_error)
{
    char text_item[VALUE_ITEM_BYTES_MAX];
    bool endpoints = option->kind == CONF_ENDPOINTS;
    for (const char *cursor = text; value_next_item(&cursor, ',', text_item);) {
        void *item = addresses->item;
        int error = list_grow(&item, addresses->count, sizeof(*addresses->item), ret_error);
        addresses->item = item;
        if (error < 0)
            return error;
        const char *address = endpoints ? scheme_take(addresses, text_item) : text_item;
        if (address_parse(address, &addresses->item[addresses->count]) < 0) {
            conf_error_set(ret_error, "\"%.100s\" is not an address; write ip:port or [ip6]:port (numbers, not names)%s",
                           text_item, endpoints ? ", or http:// and that" : "");
            return -EINVAL;
        }
        addresses->count++;
    }
    return 0;
}

/* "3@127.0.0.1:7400" or "127.0.0.1:7400". */
static int parse_dispatcher(const char *text, struct conf_dispatcher *ret_dispatcher)
{
    struct conf_dispatcher dispatcher;
    char *end;
    memset(&dispatcher, 0, sizeof(dispatcher)); /* value_equal compares bytes */
    const char *at = strchr(text, '@');
    if (at) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        unsigned long region = strtoul(text, &end, 10);
        if (end != at || region == 0 || region > UINT16_MAX)
            return -EINVAL;
        dispatcher.region = (uint16_t)region;
    }
    if (address_parse(at ? at + 1 : text, &dispatcher.address) < 0)
        return -EINVAL;
    *ret_dispatcher = dispatcher;
    return 0;
}

static int parse_dispatchers(const char *text, struct conf_dispatchers *dispatchers, struct conf_error *ret_error)
{
    char text_item[VALUE_ITEM_BYTES_MAX];
    for (const char *cursor = text; value_next_item(&cursor, ',', text_item);) {
        void *item = dispatchers->item;
        int error = list_grow(&item, dispatchers->count, sizeof(*dispatchers->item), ret_error);
        dispatchers->item = item;
        if (error < 0)
            return error;
        if (parse_dispatcher(text_item, &dispatchers->item[dispatchers->count]) < 0) {
            conf_error_set(ret_error, "\"%.100s\" is not a dispatcher; write ip:port or REGION@ip:port with a region of 1..65535",
                           text_item);
            return -EINVAL;
        }
        dispatchers->count++;
    }
    return 0;
}

/* Drops what a failed call has added, so that the list is as it was. */
static void list_truncate(enum conf_kind kind, void *field, uint32_t count)
{
    struct conf_texts *texts = field;
    if (kind == CONF_ADDRESSES || kind == CONF_ENDPOINTS) {
        struct conf_addresses *addresses = field;
        addresses->count = count;
        addresses->http &= count < CONF_ENDPOINTS_MAX ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
    } else if (kind == CONF_DISPATCHERS)
        ((struct conf_dispatchers *)field)->count = count;
    else
        while (texts->count > count)
            free(texts->item[--texts->count]);
}

static uint32_t list_count(enum conf_kind kind, const void *field)
{
    if (kind == CONF_ADDRESSES || kind == CONF_ENDPOINTS)
        return ((const struct conf_addresses *)field)->count;
    if (kind == CONF_DISPATCHERS)
        return ((const struct conf_dispatchers *)field)->count;
    return ((const struct conf_texts *)field)->count;
}

int value_parse_list(const struct conf_option *option, const char *text, void *field, struct conf_error *ret_error)
{
    uint32_t count = list_count(option->kind, field);
    int error;
    if (*text == '\0')
        return 0;
    if (option->kind == CONF_ADDRESSES || option->kind == CONF_ENDPOINTS)
        error = parse_addresses(option, text, field, ret_error);
    else if (option->kind == CONF_DISPATCHERS)
        error = parse_dispatchers(text, field, ret_error);
    else
        error = parse_texts(option, text, field, ret_error);
    if (error < 0) {
        list_truncate(option->kind, field, count);
        if (count == 0)
            value_done(option->kind, field);
    }
    return error;
}

/* "cpu=1": which weight, and how much. */
static int parse_weight(const struct conf_option *option, char *item, struct conf_weights *weights, struct conf_error *ret_error)
{
    double number;
    char *equals = strchr(item, '=');
    if (!equals) {
        conf_error_set(ret_error, "\"%.100s\" is not name=number; write it with a name of %s", item, option->allowed);
        return -EINVAL;
    }
    *equals = '\0';
    int index = value_choose(option->allowed, item, ret_error);
    if (index < 0)
        return index;
    CHECK(index < CONF_WEIGHTS_MAX);
    if (value_parse_number(equals + 1, &number) < 0 || number < 0 || number > 1e6) {
        conf_error_set(ret_error, "\"%.100s\" will not do for %.20s; write a number of 0..1000000", equals + 1, item);
        return -EINVAL;
    }
    weights->value[index] = (float)number;
    return 0;
}

int value_parse_weights(const struct conf_option *option, const char *text, struct conf_weights *weights,
                        struct conf_error *ret_error)
{
    char item[VALUE_ITEM_BYTES_MAX];
    struct conf_weights changed = *weights;
    for (const char *cursor = text; value_next_item(&cursor, ',', item);) {
        int error = parse_weight(option, item, &changed, ret_error);
        if (error < 0)
            return error;
    }
    *weights = changed;
    return 0;
}
