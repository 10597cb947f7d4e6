/* Any bytes as a regions file: a table that holds what it promises, or an error of one line. */
#include <string.h>

#include "core/base/check.h"
#include "rm/regions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    struct region_table *table;
    struct conf_error error;
    if (regions_parse("regions", (const char *)data, data_size, &table, &error) < 0) {
        CHECK(strncmp(error.text, "regions:", 8) == 0 && !strchr(error.text, '\n'));
        return 0;
    }
    CHECK(table->version != 0);
    /* A range's first address is in it, or in a longer range that begins there too: never in none. */
    for (uint32_t i = 0; i < table->range_count; i++)
        CHECK(region_table_find(table, &table->ranges[i].range.base) != REGION_NONE);
    region_table_free(table);
    return 0;
}
