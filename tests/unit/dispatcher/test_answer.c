/* From a request to the bytes of its answer. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "dispatcher/answer.h"

enum { SERVICE = 5, NODES = 4 };

static struct node_values values[NODES];
static struct counters counters;
static struct pick_state picks;
static struct view *view;
static struct answer_context context;
static uint8_t bytes[ANSWER_BYTES_MAX];
static struct frame frame;

static void setup(void)
{
    struct snapshot_offer offers[NODES + 1];
    struct snapshot *snapshot;
    struct location *location;
    for (uint32_t i = 0; i < NODES; i++) {
        values[i].address = (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(7500 + i), .ip = {127, 0, 0, 1}};
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
    }
    offers[NODES] = (struct snapshot_offer){.service_id = SERVICE + 1, .slot = UINT32_MAX};
    cr_assert_eq(snapshot_new(NODES, offers, NODES + 1, &snapshot), 0);
    cr_assert_eq(location_new(3, NULL, NULL, 0, &location), 0);
    cr_assert_eq(view_new(snapshot, location, &view), 0);
    view->retires_snapshot = view->retires_location = true;
    pick_state_init(&picks, 1, 1.5f);
    context = (struct answer_context){
        .picks = &picks,
        .values = values,
        .counters = &counters,
        .boot_id = 77,
        .region = 3,
    };
    answer_begin(&context, POLICY_RANDOM, view);
}

static void teardown(void)
{
    view_free(view);
}

static struct request request_for(uint64_t service_id, uint8_t count, uint16_t limit)
{
    return (struct request){
        .arrived_ns = NS_PER_S,
        .request_id = 99,
        .service_id = service_id,
        .kind = REQUEST_ADDRESS,
        .transport = FRAME_UDP,
        .count = count,
        .limit = limit,
    };
}

static uint32_t answer(const struct request *request)
{
    enum refusal refusal;
    answer_prepare(&context, request, 1, 2 * NS_PER_S);
    uint32_t length = answer_encode(&context, request, bytes);
    if (length) {
        cr_assert_eq(frame_decode_stream(bytes, length, &frame, &refusal), (int)length);
        cr_expect_eq(frame.request_id, request->request_id);
    }
    return length;
}

static void expect_error(enum wire_error_code code)
{
    struct wire_error error;
    enum refusal refusal;
    cr_assert_eq(frame.type, FRAME_TYPE_ERROR);
    cr_assert_eq(wire_error_decode(&frame, &error, &refusal), 0);
    cr_expect_eq(error.code, code);
    cr_expect_not(error.started);
}

Test(answer, drops_a_request_older_than_its_wait, .init = setup, .fini = teardown)
{
    struct request request = request_for(SERVICE, 1, 44);
    request.wait_ms = 999;
    cr_expect_eq(answer(&request), 0);
    cr_expect_eq(counter_read(&counters, COUNTER_REQUESTS_EXPIRED), 1);
    request.wait_ms = 1000;
    cr_expect_gt(answer(&request), 0);
}

Test(answer, tells_unknown_services_from_those_without_a_node, .init = setup, .fini = teardown)
{
    struct request request = request_for(SERVICE + 2, 1, 100);
    cr_assert_gt(answer(&request), 0);
    expect_error(WIRE_ERROR_NO_SERVICE);
    request.service_id = SERVICE + 1;
    cr_assert_gt(answer(&request), 0);
    expect_error(WIRE_ERROR_NO_NODE);
}

Test(answer, before_the_first_directory_no_name_is_wrong, .init = setup, .fini = teardown)
{
    struct wire_error error;
    enum refusal refusal;
    struct snapshot *empty;
    struct snapshot *full = view->snapshot;
    cr_assert_eq(snapshot_new(0, NULL, 0, &empty), 0);
    view->snapshot = empty;
    struct request request = request_for(SERVICE, 1, 200);
    cr_assert_gt(answer(&request), 0);
    view->snapshot = full;
    snapshot_free(empty);
    expect_error(WIRE_ERROR_NO_NODE);
    cr_assert_eq(wire_error_decode(&frame, &error, &refusal), 0);
    cr_expect_str_eq(error.text, "this dispatcher knows no nodes yet; is rm reachable?");
    cr_expect_eq(counter_read(&counters, COUNTER_PICKS_NO_NODE), 1);
    cr_expect_eq(counter_read(&counters, COUNTER_PICKS_NO_SERVICE), 0);
}

Test(answer, of_a_directory_from_the_last_run_no_name_is_wrong, .init = setup, .fini = teardown)
{
    static struct members members;
    struct request request = request_for(SERVICE + 2, 1, 100);
    atomic_store(&members.restored, true);
    view->members = &members;
    uint32_t length = answer(&request);
    view->members = NULL; /* its slots are not the view's */
    cr_assert_gt(length, 0);
    expect_error(WIRE_ERROR_NO_NODE);
}

Test(answer, is_never_longer_than_the_request_allows, .init = setup, .fini = teardown)
{
    for (uint16_t limit = 0; limit < 200; limit++) {
        struct request known = request_for(SERVICE, 16, limit);
        struct request unknown = request_for(SERVICE + 2, 1, limit);
        cr_assert_leq(answer(&known), limit);
        cr_assert_leq(answer(&unknown), limit);
    }
}

Test(answer, says_to_ask_over_tcp_when_no_address_fits, .init = setup, .fini = teardown)
{
    struct request request = request_for(SERVICE, 1, 30);
    cr_assert_gt(answer(&request), 0);
    expect_error(WIRE_ERROR_TOO_LARGE);
    cr_expect(frame.flags & FRAME_TRUNCATED);
}

Test(answer, gives_as_many_distinct_addresses_as_asked_for, .init = setup, .fini = teardown)
{
    struct request request = request_for(SERVICE, 3, 1232);
    struct wire_address reply;
    enum refusal refusal;
    cr_assert_gt(answer(&request), 0);
    cr_assert_eq(wire_address_decode(&frame, &reply, &refusal), 0);
    cr_expect_eq(reply.count, 3);
    cr_expect_eq(reply.boot_id, 77);
    cr_expect_eq(reply.region, 3);
    cr_expect_eq(reply.regions_version, view->location->version);
    for (int i = 1; i < 3; i++)
        for (int k = 0; k < i; k++)
            cr_expect_not(address_equal(&reply.entries[i].address, &reply.entries[k].address));
    cr_expect_eq(counter_read(&counters, COUNTER_PICKS_OK), 1);
}

Test(answer, tells_the_region_of_the_asking_ip, .init = setup, .fini = teardown)
{
    struct request request = request_for(0, 0, 1232);
    struct wire_location reply;
    enum refusal refusal;
    request.kind = REQUEST_LOCATION;
    cr_assert_gt(answer(&request), 0);
    cr_assert_eq(wire_location_decode(&frame, &reply, &refusal), 0);
    cr_expect_eq(reply.region, 3);
    cr_expect_eq(reply.own_region, 3);
}
