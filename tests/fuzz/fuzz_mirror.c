/* Any bytes as what stands in Redis about a node (first byte even) or about an operator's word (odd): what is taken may go out on
 * the wire. */
#include <math.h>
#include <string.h>

#include "core/base/check.h"
#include "rm/mirror_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

static void node_try(const char *text, size_t length)
{
    struct services services;
    struct cluster_restored restored;
    services_init(&services);
    if (mirror_node_parse(&services, "127.0.0.1:7500", text, length, &restored) == 0) {
        CHECK(restored.service_count <= NODE_SERVICES_MAX);
        CHECK(isfinite(restored.load_index) && restored.load_index >= 0);
        CHECK((restored.flags & ~WIRE_NODE_FLAGS_OF_NODE) == 0);
        for (uint8_t i = 0; i < restored.service_count; i++)
            CHECK(isfinite(restored.services[i].work_s) && isfinite(restored.services[i].rate));
        CHECK(restored.metadata_count <= METADATA_MAX);
        for (uint8_t i = 0; i < restored.metadata_count; i++)
            CHECK(wire_metadata_name(restored.metadata[i].key) && isfinite(restored.metadata[i].value) &&
                  restored.metadata[i].value >= 0);
    }
    services_done(&services);
}

static void admin_try(const char *text, size_t length)
{
    struct wire_admin admin;
    char reason[NODE_REASON_BYTES_MAX + 1];
    if (mirror_admin_parse(text, length, &admin, reason) < 0)
        return;
    CHECK(isfinite(admin.weight) && admin.weight >= 0 && admin.version_ms > 0);
    CHECK(strnlen(reason, sizeof(reason)) <= NODE_REASON_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    if (data_size == 0)
        return 0;
    if (data[0] % 2 == 0)
        node_try((const char *)data + 1, data_size - 1);
    else
        admin_try((const char *)data + 1, data_size - 1);
    return 0;
}
