#include "rm/regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/map.h"
#include "core/wire/cursor.h"
#include "core/wire/limits.h"

#define WORD_BYTES 64

/* Keys of what has been given, to name the line where something is given twice. */
struct range_key {
    struct address base;
    uint8_t prefix_bits;
    uint8_t zero[3];
};

struct regions_parser {
    const char *name;
    uint32_t line;
    const char *at; /* in the line */
    const char *end;
    struct region_range *ranges;
    uint32_t range_count;
    uint32_t range_capacity;
    struct region_dispatcher *dispatchers;
    uint32_t dispatcher_count;
    uint32_t dispatcher_capacity;
    struct map range_lines; /* struct range_key → line */
    struct map dispatcher_lines; /* struct address → line */
    bool declared[UINT16_MAX + 1];
    struct conf_error *error;
};

static int parse_fail(struct regions_parser *parser, const char *text, const char *word)
{
    conf_error_set(parser->error, "%s:%u: %s%s%s", parser->name, parser->line, text, word[0] != '\0' ? ": " : "", word);
    return -EINVAL;
}

static int out_of_memory(struct regions_parser *parser)
{
    conf_error_set(parser->error, "%s: out of memory", parser->name);
    return -ENOMEM;
}

/* The next word of the line; "" at its end. A word too long for anything is cut, and then wrong. */
static const char *word_next(struct regions_parser *parser, char word[static WORD_BYTES])
{
    size_t length = 0;
    while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\r'))
        parser->at++;
    while (parser->at < parser->end && *parser->at != ' ' && *parser->at != '\t' && *parser->at != '\r') {
        if (length < WORD_BYTES - 1)
            word[length++] = *parser->at != '\0' ? *parser->at : '?';
        parser->at++;
    }
    word[length] = '\0';
    return word;
}

static int region_parse(struct regions_parser *parser, const char *word, uint16_t *ret_region)
{
    uint32_t region = 0;
    for (const char *digit = word; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || region > UINT16_MAX)
            return parse_fail(parser, "a region is a number from 1 to 65535", word);
        region = region * 10 + (uint32_t)(*digit - '0');
    }
    if (region == 0 || region > UINT16_MAX)
        return parse_fail(parser, "a region is a number from 1 to 65535", word);
    *ret_region = (uint16_t)region;
    return 0;
}

/* Room for one more item; *items grows by doubling. */
static int room_make(void **items, uint32_t count, uint32_t *capacity, size_t item_bytes)
{
    uint32_t wanted = *capacity ? *capacity * 2 : 64;
    if (count < *capacity)
        return 0;
    void *grown = realloc(*items, wanted * item_bytes);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}

static int dispatcher_add(struct regions_parser *parser, uint16_t region, const char *word)
{
    struct address address;
    void *items = parser->dispatchers;
    if (address_parse(word, &address) < 0 || !wire_address_usable(&address))
        return parse_fail(parser, "a dispatcher is ip:port or [ip6]:port", word);
    if (map_get(&parser->dispatcher_lines, &address) != MAP_NONE)
        return parse_fail(parser, "this dispatcher has been given before", word);
    if (parser->dispatcher_count == REGION_DISPATCHERS_MAX)
        return parse_fail(parser, "too many dispatchers: 1024 are allowed in all regions together", "");
    if (room_make(&items, parser->dispatcher_count, &parser->dispatcher_capacity, sizeof(*parser->dispatchers)) < 0 ||
        map_put(&parser->dispatcher_lines, &address, parser->line) < 0)
        return out_of_memory(parser);
    parser->dispatchers = items;
    parser->dispatchers[parser->dispatcher_count++] = (struct region_dispatcher){.address = address, .region = region};
    return 0;
}

static int region_line(struct regions_parser *parser)
{
    char word[WORD_BYTES];
    uint16_t region;
    int error = region_parse(parser, word_next(parser, word), &region);
    if (error < 0)
        return error;
    if (parser->declared[region])
        return parse_fail(parser, "this region has been given before: name all its dispatchers in one line", word);
    parser->declared[region] = true;
    uint32_t count = parser->dispatcher_count;
    while (error == 0 && word_next(parser, word)[0] != '\0')
        error = dispatcher_add(parser, region, word);
    if (error == 0 && parser->dispatcher_count == count)
        return parse_fail(parser, "a region needs dispatchers: region ID ip:port …", "");
    return error;
}

/* Whoever wrote 10.1.2.3/8 meant either one client or all of 10.0.0.0/8: only they know which. */
static bool base_is_whole(const char *word, const struct address *base)
{
    char ip[WORD_BYTES];
    struct address written;
    snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(word, "/"), word);
    return address_parse_ip(ip, &written) == 0 && address_equal(&written, base);
}

static int client_line(struct regions_parser *parser)
{
    char word[WORD_BYTES];
    struct region_range range;
    void *items = parser->ranges;
    if (address_range_parse(word_next(parser, word), &range.range) < 0)
        return parse_fail(parser, "clients are a range such as 10.0.0.0/8: client CIDR REGION", word);
    if (!base_is_whole(word, &range.range.base))
        return parse_fail(parser, "behind the prefix all bits are 0, as in 10.0.0.0/8", word);
    struct range_key key = {.base = range.range.base, .prefix_bits = range.range.prefix_bits};
    if (map_get(&parser->range_lines, &key) != MAP_NONE)
        return parse_fail(parser, "these clients have been given before", word);
    int error = region_parse(parser, word_next(parser, word), &range.region);
    if (error < 0)
        return error;
    if (word_next(parser, word)[0] != '\0')
        return parse_fail(parser, "nothing may follow: client CIDR REGION", word);
    if (parser->range_count == REGION_RANGES_MAX)
        return parse_fail(parser, "too many client ranges: 32768 are allowed", "");
    if (room_make(&items, parser->range_count, &parser->range_capacity, sizeof(*parser->ranges)) < 0 ||
        map_put(&parser->range_lines, &key, parser->line) < 0)
        return out_of_memory(parser);
    parser->ranges = items;
    parser->ranges[parser->range_count++] = range;
    return 0;
}

static int line_parse(struct regions_parser *parser)
{
    char word[WORD_BYTES];
    const char *comment = memchr(parser->at, '#', (size_t)(parser->end - parser->at));
    if (comment)
        parser->end = comment;
    word_next(parser, word);
    if (word[0] == '\0')
        return 0;
    if (strcmp(word, "region") == 0)
        return region_line(parser);
    if (strcmp(word, "client") == 0)
        return client_line(parser);
    return parse_fail(parser, "a line begins with region or client", word);
}

/* Clients of a region that nobody declared would be sent nowhere. */
static int declarations_check(struct regions_parser *parser)
{
    char word[WORD_BYTES];
    for (uint32_t i = 0; i < parser->range_count; i++) {
        const struct region_range *range = &parser->ranges[i];
        struct range_key key = {.base = range->range.base, .prefix_bits = range->range.prefix_bits};
        if (parser->declared[range->region])
            continue;
        parser->line = map_get(&parser->range_lines, &key);
        snprintf(word, sizeof(word), "%u", range->region);
        return parse_fail(parser, "no region line names this region and its dispatchers", word);
    }
    return 0;
}

static uint64_t item_hash(const struct address *address, uint16_t region, uint8_t prefix_bits)
{
    uint64_t numbers = (uint64_t)region << 8 | prefix_bits;
    return hash_mix(hash_fnv1a(address, sizeof(*address)) ^ hash_mix(numbers + 1));
}

/* A sum, so that the order of lines does not matter. */
static uint32_t version_of(const struct regions_parser *parser)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < parser->range_count; i++)
        sum += item_hash(&parser->ranges[i].range.base, parser->ranges[i].region, parser->ranges[i].range.prefix_bits);
    for (uint32_t i = 0; i < parser->dispatcher_count; i++)
        sum += item_hash(&parser->dispatchers[i].address, parser->dispatchers[i].region, 0xff);
    uint32_t version = (uint32_t)hash_mix(sum);
    return version != 0 ? version : 1;
}

static int text_parse(struct regions_parser *parser, const char *text, size_t length)
{
    const char *text_end = text + length;
    while (text < text_end) {
        const char *newline = memchr(text, '\n', (size_t)(text_end - text));
        parser->line++;
        parser->at = text;
        parser->end = newline ? newline : text_end;
        text = newline ? newline + 1 : text_end;
        int error = line_parse(parser);
        if (error < 0)
            return error;
    }
    return declarations_check(parser);
}

int regions_parse(const char *name, const char *text, size_t length, struct region_table **ret_table,
                  struct conf_error *ret_error)
{
    struct regions_parser *parser = calloc(1, sizeof(*parser));
    if (!parser) {
        conf_error_set(ret_error, "%s: out of memory", name);
        return -ENOMEM;
    }
    parser->name = name;
    parser->error = ret_error;
    map_init(&parser->range_lines, sizeof(struct range_key));
    map_init(&parser->dispatcher_lines, sizeof(struct address));
    int error = text_parse(parser, text, length);
    if (error == 0) {
        error = region_table_new(version_of(parser), parser->ranges, parser->range_count, parser->dispatchers,
                                 parser->dispatcher_count, ret_table);
        if (error < 0)
            error = out_of_memory(parser);
    }
    map_done(&parser->range_lines);
    map_done(&parser->dispatcher_lines);
    free(parser->ranges);
    free(parser->dispatchers);
    free(parser);
    return error;
}

/* Everything in the file, up to capacity bytes. */
static ssize_t file_read(int fd, char *text, size_t capacity)
{
    size_t length = 0;
    while (length < capacity) {
        ssize_t part = read(fd, text + length, capacity - length);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return -errno;
        if (part == 0)
            break;
        length += (size_t)part;
    }
    return (ssize_t)length;
}

int regions_read(const char *path, struct region_table **ret_table, struct conf_error *ret_error)
{
    struct stat status;
    char *text = malloc(REGIONS_FILE_BYTES_MAX + 1);
    int fd = text ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1; /* a FIFO would wait for its writer */
    ssize_t length = text ? -errno : -ENOMEM;
    if (fd >= 0) {
        length = fstat(fd, &status) < 0 ? -errno : S_ISFIFO(status.st_mode) ? -ESPIPE : 0;
        if (length == 0)
            length = file_read(fd, text, REGIONS_FILE_BYTES_MAX + 1);
        close(fd);
    }
    int error = length < 0 ? (int)length : 0;
    if (length > (ssize_t)REGIONS_FILE_BYTES_MAX)
        error = -EFBIG;
    if (error < 0)
        conf_error_set(ret_error, "%s: cannot read the regions file: %s", path,
                       error == -ESPIPE ? "it is a pipe, which could not be read again on SIGHUP" : strerror(-error));
    else
        error = regions_parse(path, text, (size_t)length, ret_table, ret_error);
    free(text);
    return error;
}
