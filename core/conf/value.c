#include "core/conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"

static const size_t kind_bytes[] = {
    [CONF_FLAG] = sizeof(CONF_TYPE_FLAG),
    [CONF_TEXT] = sizeof(CONF_TYPE_TEXT),
    [CONF_CHOICE] = sizeof(CONF_TYPE_CHOICE),
    [CONF_U32] = sizeof(CONF_TYPE_U32),
    [CONF_U64] = sizeof(CONF_TYPE_U64),
    [CONF_FLOAT] = sizeof(CONF_TYPE_FLOAT),
    [CONF_DURATION] = sizeof(CONF_TYPE_DURATION),
    [CONF_DURATION_RANGE] = sizeof(CONF_TYPE_DURATION_RANGE),
    [CONF_ADDRESS] = sizeof(CONF_TYPE_ADDRESS),
    [CONF_IP] = sizeof(CONF_TYPE_IP),
    [CONF_ADDRESSES] = sizeof(CONF_TYPE_ADDRESSES),
    [CONF_ENDPOINTS] = sizeof(CONF_TYPE_ENDPOINTS),
    [CONF_DISPATCHERS] = sizeof(CONF_TYPE_DISPATCHERS),
    [CONF_LIST] = sizeof(CONF_TYPE_LIST),
    [CONF_TEXTS] = sizeof(CONF_TYPE_TEXTS),
    [CONF_WEIGHTS] = sizeof(CONF_TYPE_WEIGHTS),
    [CONF_FILE] = sizeof(CONF_TYPE_FILE),
};

/* The largest of the above; all of them may be moved bytewise. */
union value {
    struct conf_weights weights;
    struct address address;
    struct conf_texts texts;
    struct duration_range range;
    char *text;
    double number;
    bool flag;
};

bool value_next_item(const char **cursor, char separator, char item[static VALUE_ITEM_BYTES_MAX])
{
    if (!*cursor)
        return false;
    const char *end = strchr(*cursor, separator);
    size_t length = end ? (size_t)(end - *cursor) : strlen(*cursor);
    size_t copied = length < VALUE_ITEM_BYTES_MAX - 1 ? length : VALUE_ITEM_BYTES_MAX - 1;
    memcpy(item, *cursor, copied);
    item[copied] = '\0';
    *cursor = end ? end + 1 : NULL;
    return true;
}

int value_parse_number(const char *text, double *ret_number)
{
    char *end;
    if (text[strspn(text, "0123456789.eE+-")] != '\0' || *text == '\0')
        return -EINVAL; /* strtod would take spaces, "inf", "nan" and hexadecimal */
    double number = strtod(text, &end);
    if (*end != '\0' || !(number >= -1e300 && number <= 1e300))
        return -EINVAL;
    *ret_number = number;
    return 0;
}

/* The alternative, cut before what it stands for: "tcp:HOST:PORT" is chosen by "tcp:". */
static bool alternative_fits(const char *alternative, const char *text)
{
    const char *colon = strchr(alternative, ':');
    if (!colon)
        return strcmp(alternative, text) == 0;
    size_t length = (size_t)(colon - alternative) + 1;
    return strncmp(alternative, text, length) == 0 && text[length] != '\0';
}

static void choose_fail(const char *alternatives, const char *text, struct conf_error *ret_error)
{
    char item[VALUE_ITEM_BYTES_MAX];
    struct conf_error list = {.text = ""};
    for (const char *cursor = alternatives; value_next_item(&cursor, '|', item);) {
        struct conf_error longer;
        conf_error_set(&longer, "%s%s%s", list.text, list.text[0] ? ", " : "", item);
        list = longer;
    }
    conf_error_set(ret_error, "\"%s\" is not known; choose one of %s", text, list.text);
}

int value_choose(const char *alternatives, const char *text, struct conf_error *ret_error)
{
    char item[VALUE_ITEM_BYTES_MAX];
    int index = 0;
    for (const char *cursor = alternatives; value_next_item(&cursor, '|', item); index++)
        if (alternative_fits(item, text))
            return index;
    choose_fail(alternatives, text, ret_error);
    return -EINVAL;
}

static int parse_flag(const struct conf_option *option, const char *text, bool *field, struct conf_error *ret_error)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        bool is_yes = strcmp(text, yes[i]) == 0;
        if (!is_yes && strcmp(text, no[i]) != 0)
            continue;
        *field = is_yes;
        return 0;
    }
    conf_error_set(ret_error, "\"%s\" is neither yes nor no; write %s=yes or %s=no", text, option->name, option->name);
    return -EINVAL;
}

static int parse_text(const struct conf_option *option, const char *text, char **field, struct conf_error *ret_error)
{
    char *copy = NULL;
    if (option->allowed[0] && *text && value_choose(option->allowed, text, ret_error) < 0)
        return -EINVAL;
    if (*text) {
        copy = strdup(text);
        if (!copy) {
            conf_error_set(ret_error, "out of memory");
            return -ENOMEM;
        }
    }
    *field = copy;
    return 0;
}

static int parse_choice(const struct conf_option *option, const char *text, uint32_t *field, struct conf_error *ret_error)
{
    int index = value_choose(option->allowed, text, ret_error);
    if (index < 0)
        return index;
    *field = (uint32_t)index;
    return 0;
}

/* Both ends of a row's range "1..100". */
static void range_split(const char *allowed, char low[static VALUE_ITEM_BYTES_MAX], const char **ret_high)
{
    const char *dots = strstr(allowed, "..");
    CHECK(dots && dots - allowed < VALUE_ITEM_BYTES_MAX);
    memcpy(low, allowed, (size_t)(dots - allowed));
    low[dots - allowed] = '\0';
    *ret_high = dots + 2;
}

static int parse_u64(const char *text, uint64_t *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -EINVAL; /* strtoull would take signs and spaces */
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0)
        return -EINVAL;
    *ret_number = number;
    return 0;
}

static int parse_integer(const struct conf_option *option, const char *text, uint64_t *ret_number, struct conf_error *ret_error)
{
    char low[VALUE_ITEM_BYTES_MAX];
    const char *high;
    uint64_t number, min, max;
    range_split(option->allowed, low, &high);
    CHECK(parse_u64(low, &min) == 0 && parse_u64(high, &max) == 0);
    if (parse_u64(text, &number) < 0) {
        conf_error_set(ret_error, "\"%s\" is not a whole number; write one of %s", text, option->allowed);
        return -EINVAL;
    }
    if (number < min || number > max) {
        conf_error_set(ret_error, "%s is out of range; write a number of %s", text, option->allowed);
        return -EINVAL;
    }
    *ret_number = number;
    return 0;
}

static int parse_float(const struct conf_option *option, const char *text, double *field, struct conf_error *ret_error)
{
    char low[VALUE_ITEM_BYTES_MAX];
    const char *high;
    double number, min, max;
    range_split(option->allowed, low, &high);
    CHECK(value_parse_number(low, &min) == 0 && value_parse_number(high, &max) == 0);
    if (value_parse_number(text, &number) < 0) {
        conf_error_set(ret_error, "\"%s\" is not a number; write one of %s", text, option->allowed);
        return -EINVAL;
    }
    if (number < min || number > max) {
        conf_error_set(ret_error, "%s is out of range; write a number of %s", text, option->allowed);
        return -EINVAL;
    }
    *field = number;
    return 0;
}

static int parse_durations(const struct conf_option *option, const char *text, struct duration_range *field,
                           struct conf_error *ret_error)
{
    struct duration_range allowed, range;
    CHECK(duration_range_parse(option->allowed, &allowed) == 0);
    if (option->kind == CONF_DURATION ? duration_parse(text, &range.min_ns) : duration_range_parse(text, &range)) {
        conf_error_set(ret_error, "\"%s\" is not a %s", text,
                       option->kind == CONF_DURATION
                           ? "time; write one such as 250ms, 1s or 5m"
                           : "range of times; write one such as 1s..5s, the shorter first, or one time");
        return -EINVAL;
    }
    if (option->kind == CONF_DURATION)
        range.max_ns = range.min_ns;
    if (range.min_ns < allowed.min_ns || range.max_ns > allowed.max_ns) {
        conf_error_set(ret_error, "%s is out of range; write a time of %s", text, option->allowed);
        return -EINVAL;
    }
    *field = range;
    return 0;
}

static int parse_address(const struct conf_option *option, const char *text, struct address *field, struct conf_error *ret_error)
{
    static const struct address none;
    bool with_port = option->kind == CONF_ADDRESS;
    if (*text == '\0') {
        *field = none;
        return 0;
    }
    if ((with_port ? address_parse(text, field) : address_parse_ip(text, field)) == 0)
        return 0;
    conf_error_set(ret_error, "\"%s\" is not an address; write %s (numbers, not names)", text,
                   with_port ? "ip:port or [ip6]:port" : "an ip without a port");
    return -EINVAL;
}

bool value_is_list(enum conf_kind kind)
{
    return kind == CONF_ADDRESSES || kind == CONF_ENDPOINTS || kind == CONF_DISPATCHERS || kind == CONF_LIST ||
           kind == CONF_TEXTS;
}

/* The kinds that replace what was there, into a fresh value. */
static int parse_single(const struct conf_option *option, const char *text, void *value, struct conf_error *ret_error)
{
    struct duration_range range;
    uint64_t number;
    int error;
    switch (option->kind) {
    case CONF_FLAG: return parse_flag(option, text, value, ret_error);
    case CONF_TEXT:
    case CONF_FILE: return parse_text(option, text, value, ret_error);
    case CONF_CHOICE: return parse_choice(option, text, value, ret_error);
    case CONF_FLOAT: return parse_float(option, text, value, ret_error);
    case CONF_ADDRESS:
    case CONF_IP: return parse_address(option, text, value, ret_error);
    case CONF_U32:
    case CONF_U64:
        error = parse_integer(option, text, &number, ret_error);
        if (error == 0 && option->kind == CONF_U64)
            *(uint64_t *)value = number;
        else if (error == 0)
            *(uint32_t *)value = (uint32_t)number;
        return error;
    case CONF_DURATION:
    case CONF_DURATION_RANGE:
        error = parse_durations(option, text, &range, ret_error);
        if (error == 0)
            memcpy(value, &range, kind_bytes[option->kind]); /* a duration is the range's first member */
        return error;
    case CONF_ADDRESSES:
    case CONF_ENDPOINTS:
    case CONF_DISPATCHERS:
    case CONF_LIST:
    case CONF_TEXTS:
    case CONF_WEIGHTS: break;
    }
    check_failed("a list is no single value", __FILE__, __LINE__);
}

int value_parse(const struct conf_option *option, const char *text, bool more, void *field, struct conf_error *ret_error)
{
    union value value;
    int error;
    memset(&value, 0, sizeof(value));
    if (option->kind == CONF_WEIGHTS)
        return value_parse_weights(option, text, field, ret_error);
    if (value_is_list(option->kind) && more)
        return value_parse_list(option, text, field, ret_error);
    error = value_is_list(option->kind) ? value_parse_list(option, text, &value, ret_error)
                                        : parse_single(option, text, &value, ret_error);
    if (error < 0)
        return error;
    value_done(option->kind, field);
    memcpy(field, &value, kind_bytes[option->kind]);
    return 0;
}

void value_done(enum conf_kind kind, void *field)
{
    struct conf_texts *texts = field;
    if (kind == CONF_TEXT || kind == CONF_FILE)
        free(*(char **)field);
    if (kind == CONF_ADDRESSES || kind == CONF_ENDPOINTS)
        free(((struct conf_addresses *)field)->item);
    if (kind == CONF_DISPATCHERS)
        free(((struct conf_dispatchers *)field)->item);
    if (kind == CONF_LIST || kind == CONF_TEXTS) {
        for (uint32_t i = 0; i < texts->count; i++)
            free(texts->item[i]);
        free(texts->item);
    }
    memset(field, 0, kind_bytes[kind]);
}

static bool texts_equal(const struct conf_texts *a, const struct conf_texts *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(a->item[i], b->item[i]) != 0)
            return false;
    return true;
}

static bool text_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool value_equal(enum conf_kind kind, const void *a, const void *b)
{
    const struct conf_addresses *addresses_a = a, *addresses_b = b;
    const struct conf_dispatchers *dispatchers_a = a, *dispatchers_b = b;
    switch (kind) {
    case CONF_TEXT:
    case CONF_FILE: return text_equal(*(char *const *)a, *(char *const *)b);
    case CONF_LIST:
    case CONF_TEXTS: return texts_equal(a, b);
    case CONF_ADDRESSES:
    case CONF_ENDPOINTS:
        return addresses_a->count == addresses_b->count && addresses_a->http == addresses_b->http &&
               (addresses_a->count == 0 ||
                memcmp(addresses_a->item, addresses_b->item, addresses_a->count * sizeof(*addresses_a->item)) == 0);
    case CONF_DISPATCHERS:
        return dispatchers_a->count == dispatchers_b->count &&
               (dispatchers_a->count == 0 ||
                memcmp(dispatchers_a->item, dispatchers_b->item, dispatchers_a->count * sizeof(*dispatchers_a->item)) == 0);
    default: return memcmp(a, b, kind_bytes[kind]) == 0;
    }
}

void value_swap(enum conf_kind kind, void *a, void *b)
{
    union value value;
    CHECK(kind_bytes[kind] <= sizeof(value));
    memcpy(&value, a, kind_bytes[kind]);
    memcpy(a, b, kind_bytes[kind]);
    memcpy(b, &value, kind_bytes[kind]);
}
