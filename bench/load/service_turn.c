#include "bench/load/service_turn.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/limits.h"
#include "core/wire/service.h"

#define NAME_BYTES (SERVICE_NAME_BYTES_MAX + 16) /* of one that is too long as well */

/* The length of the name, whole or not. */
static size_t service_turn_name(const char *name, uint32_t index, char text[NAME_BYTES])
{
    int length = index == 0 ? snprintf(text, NAME_BYTES, "%s", name) : snprintf(text, NAME_BYTES, "%s-%u", name, index);
    return length < 0 ? 0 : (size_t)length;
}

bool service_turn_valid(const char *name, uint32_t count)
{
    char text[NAME_BYTES];
    size_t length = service_turn_name(name, count - 1, text);
    return length <= SERVICE_NAME_BYTES_MAX && service_name_valid(text, length);
}

int service_turn_init(struct service_turn *turn, const char *name, uint32_t count)
{
    char text[NAME_BYTES];
    uint64_t *ids = calloc(count, sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        ids[i] = htobe64(service_id(text, service_turn_name(name, i, text)));
    *turn = (struct service_turn){.ids = ids, .count = count};
    return 0;
}

void service_turn_done(struct service_turn *turn)
{
    free(turn->ids);
    *turn = (struct service_turn){0};
}

void service_turn_write(struct service_turn *turn, uint8_t *requests, uint32_t stride, uint32_t count)
{
    uint8_t *at = requests + FRAME_HEADER_BYTES; /* the first field of REQUEST_ADDRESS */
    for (uint32_t i = 0; i < count; i++, at += stride) {
        memcpy(at, &turn->ids[turn->next], sizeof(*turn->ids));
        turn->next = turn->next + 1 == turn->count ? 0 : turn->next + 1;
    }
}
