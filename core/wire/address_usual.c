#include "core/wire/address_usual.h"

#include "core/base/check.h"
#include "core/wire/envelope.h"

void wire_usual_reply_init(struct wire_usual_reply *reply, uint64_t boot_id, uint16_t region, uint32_t regions_version)
{
    CHECK(boot_id != 0);
    frame_header_store(reply->bytes, FRAME_TYPE_ADDRESS, 0, 0, 0);
    bytes_store_u64(reply->bytes + 20, boot_id);
    bytes_store_u16(reply->bytes + 28, region);
    reply->bytes[30] = 1;
    reply->bytes[31] = 0;
    bytes_store_u32(reply->bytes + 32, regions_version);
}
