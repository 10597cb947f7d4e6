#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/errors.h"
#include "tests/unit/client/fake.h"

static struct fake_dispatcher first, second;
static struct usher_answer answer;
static const struct usher_ask ask = {.service = "echo"};

static void setup(void)
{
    struct address node = {.family = ADDRESS_IPV4, .port = 9, .ip = {10, 0, 0, 1}};
    first = second = (struct fake_dispatcher){0};
    fake_setup();
    fake_dispatcher_start(&first, 1);
    fake_dispatcher_start(&second, 1);
    fake_dispatcher_names(&first, &node);
    fake_dispatcher_names(&second, &node);
}

TestSuite(usher_tcp, .init = setup, .fini = fake_teardown);

static void start(enum usher_proto proto, const char *dispatchers)
{
    struct usher_config config = {.dispatchers = dispatchers, .proto = proto, .reply_timeout_us = 20000, .fault_time_ms = 100};
    fake_client_start(&config);
}

Test(usher_tcp, nobody_listens_is_unreachable)
{
    struct usher_config config = {.dispatchers = fake_list(&first, NULL, NULL), .proto = USHER_TCP, .reply_timeout_us = 1000000};
    fake_client_start(&config);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
    cr_assert_lt(answer.elapsed_us, 1000000, "a refusal must not cost a reply timeout");
}

Test(usher_tcp, silence_is_unreachable)
{
    fake_dispatcher_start_tcp(&first);
    first.mode = FAKE_SILENT;
    start(USHER_TCP, fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
}

Test(usher_tcp, garbage_is_named_as_such)
{
    fake_dispatcher_start_tcp(&first);
    first.mode = FAKE_GARBAGE;
    start(USHER_TCP, fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_EPROTOCOL, "%s", answer.message);
}

Test(usher_tcp, another_one_is_asked_when_one_does_not_listen)
{
    fake_dispatcher_start_tcp(&second);
    start(USHER_TCP, fake_list(&first, &second, NULL));
    for (int i = 0; i < 10; i++)
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0, "%s", answer.message);
    cr_assert_eq(second.asks, 10);
}

Test(usher_tcp, all_goes_over_tcp)
{
    fake_dispatcher_start_tcp(&first);
    start(USHER_TCP, fake_list(&first, NULL, NULL));
    for (int i = 0; i < 5; i++)
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0, "%s", answer.message);
    cr_assert_eq(first.over_tcp, 6);
}

/* More dispatchers than a datagram holds. */
static void list_many(void)
{
    while (first.listed_count < FAKE_LISTED_MAX) {
        struct address address = {.family = ADDRESS_IPV4, .port = first.listed_count, .ip = {10, 0, 1, 1}};
        first.listed[first.listed_count++] = (struct wire_region_dispatcher){2, address};
    }
}

Test(usher_tcp, list_longer_than_a_datagram_comes_over_tcp)
{
    fake_dispatcher_start_tcp(&first);
    list_many();
    start(USHER_UDP, fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_locate(fake_client, &answer), 0);
    cr_assert_eq(first.over_tcp, 1);
    cr_assert_eq(usher_client_dispatchers(fake_client, NULL, 0), FAKE_LISTED_MAX);
}

Test(usher_tcp, first_part_of_a_long_list_is_enough_to_begin_with)
{
    list_many();
    start(USHER_UDP, fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0, "%s", answer.message);
    size_t count = usher_client_dispatchers(fake_client, NULL, 0);
    cr_assert(count > 100 && count < FAKE_LISTED_MAX);
}
