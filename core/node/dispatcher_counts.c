#include "core/node/dispatcher_counts.h"

#include <string.h>

void dispatcher_counts_add(struct dispatcher_counts *table, uint64_t dispatcher_boot_id)
{
    if (dispatcher_boot_id == 0)
        return;
    uint32_t at = 0;
    while (at < table->count && table->echoes[at].dispatcher_boot_id != dispatcher_boot_id)
        at++;
    struct wire_echo echo = {.dispatcher_boot_id = dispatcher_boot_id};
    if (at < table->count)
        echo = table->echoes[at];
    else if (table->count < ECHOES_MAX)
        table->count++;
    else
        at = ECHOES_MAX - 1; /* the one that was silent for longest makes room */
    memmove(&table->echoes[1], &table->echoes[0], at * sizeof(table->echoes[0]));
    echo.jobs++;
    table->echoes[0] = echo;
}
