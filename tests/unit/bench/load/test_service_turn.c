#include <criterion/criterion.h>
#include <string.h>

#include "bench/load/service_turn.h"
#include "core/wire/address_path.h"
#include "core/wire/service.h"

#define REQUESTS 5

static uint8_t requests[REQUESTS][64];
static struct service_turn turn;

/* The service that a request asks for. */
static uint64_t asked(uint32_t index)
{
    struct frame frame;
    struct wire_address_request request;
    enum refusal refusal;
    cr_assert_gt(frame_decode_datagram(requests[index], sizeof(requests[index]), &frame, &refusal), 0);
    cr_assert_eq(wire_address_request_decode(&frame, &request, &refusal), 0);
    return request.service_id;
}

static uint64_t id_of(const char *name)
{
    return service_id(name, strlen(name));
}

static void written(const char *name, uint32_t count)
{
    struct wire_address_request request = {.service_id = 1, .count = 1};
    for (uint32_t i = 0; i < REQUESTS; i++)
        cr_assert_eq(wire_address_request_encode(&request, i + 1, sizeof(requests[i]), requests[i], sizeof(requests[i])),
                     (int)sizeof(requests[i]));
    cr_assert_eq(service_turn_init(&turn, name, count), 0);
    service_turn_write(&turn, requests[0], sizeof(requests[0]), REQUESTS);
}

Test(service_turn, names_that_become_too_long_are_not_valid)
{
    char name[64] = {0};
    memset(name, 'a', sizeof(name) - 3);
    cr_expect(service_turn_valid(name, 10), "61 characters and -9");
    cr_expect_not(service_turn_valid(name, 11), "61 characters and -10");
    cr_expect_not(service_turn_valid("no/name", 1));
    cr_expect(service_turn_valid("echo", SERVICE_TURN_SERVICES_MAX));
}

Test(service_turn, requests_ask_for_all_services_in_turn)
{
    written("echo", 3);
    cr_expect_eq(asked(0), id_of("echo"));
    cr_expect_eq(asked(1), id_of("echo-1"));
    cr_expect_eq(asked(2), id_of("echo-2"));
    cr_expect_eq(asked(3), id_of("echo"));
    service_turn_write(&turn, requests[0], sizeof(requests[0]), 1);
    cr_expect_eq(asked(0), id_of("echo-2"), "where the last ones ended the next ones begin");
    service_turn_done(&turn);
}
