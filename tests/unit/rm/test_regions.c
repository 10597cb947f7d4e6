#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/wire/directory.h"
#include "core/wire/region_frame.h"
#include "rm/regions.h"

static int parse(const char *text, struct region_table **ret_table, struct conf_error *ret_error)
{
    return regions_parse("regions", text, strlen(text), ret_table, ret_error);
}

static void check_refused(const char *text, const char *expected)
{
    struct region_table *table;
    struct conf_error error;
    cr_assert_eq(parse(text, &table, &error), -EINVAL, "%s", text);
    cr_assert_str_eq(error.text, expected);
}

Test(regions, mistakes_are_told_with_their_line)
{
    check_refused("nonsense\n", "regions:1: a line begins with region or client: nonsense");
    check_refused("\n\nregion 0 127.0.0.1:1\n", "regions:3: a region is a number from 1 to 65535: 0");
    check_refused("region 65536 127.0.0.1:1\n", "regions:1: a region is a number from 1 to 65535: 65536");
    check_refused("region\n", "regions:1: a region is a number from 1 to 65535");
    check_refused("region 1\n", "regions:1: a region needs dispatchers: region ID ip:port …");
    check_refused("region 1 localhost:7400\n", "regions:1: a dispatcher is ip:port or [ip6]:port: localhost:7400");
    check_refused("region 1 127.0.0.1:1 127.0.0.1:1\n", "regions:1: this dispatcher has been given before: 127.0.0.1:1");
    check_refused("region 1 127.0.0.1:1\nregion 1 127.0.0.1:2\n",
                  "regions:2: this region has been given before: name all its dispatchers in one line: 1");
    check_refused("client 10.0.0.0 1\n", "regions:1: clients are a range such as 10.0.0.0/8: client CIDR REGION: 10.0.0.0");
    check_refused("client 127.0.0.1/8 1\n", "regions:1: behind the prefix all bits are 0, as in 10.0.0.0/8: 127.0.0.1/8");
    check_refused("client fd00::1/8 1\n", "regions:1: behind the prefix all bits are 0, as in 10.0.0.0/8: fd00::1/8");
    check_refused("client 10.0.0.0/8 x\n", "regions:1: a region is a number from 1 to 65535: x");
    check_refused("client 10.0.0.0/8 1 2\n", "regions:1: nothing may follow: client CIDR REGION: 2");
    check_refused("region 1 127.0.0.1:1\nclient 10.0.0.0/8 1\nclient 10.0.0.0/8 1\n",
                  "regions:3: these clients have been given before: 10.0.0.0/8");
    check_refused("region 1 127.0.0.1:1\nclient 10.0.0.0/8 2\n",
                  "regions:2: no region line names this region and its dispatchers: 2");
}

Test(regions, missing_file_is_told)
{
    struct region_table *table;
    struct conf_error error;
    cr_assert_eq(regions_read("/nowhere/regions", &table, &error), -ENOENT);
    cr_assert_str_eq(error.text, "/nowhere/regions: cannot read the regions file: No such file or directory");
}

Test(regions, folder_instead_of_a_file_is_told)
{
    struct region_table *table;
    struct conf_error error;
    cr_assert_eq(regions_read("/", &table, &error), -EISDIR);
}

static const char *const example = "# two regions on one machine\n"
                                   "region 1 127.0.0.1:7400 127.0.0.1:7401 # a comment\n"
                                   "region 2\t[::1]:8400\r\n"
                                   "\n"
                                   "client 127.0.0.0/24 1\n"
                                   "client 127.0.1.0/24 2";

Test(regions, clients_are_found)
{
    struct region_table *table;
    struct conf_error error;
    struct address client;
    cr_assert_eq(parse(example, &table, &error), 0);
    cr_assert_eq(table->dispatcher_count, 3);
    cr_assert_eq(address_parse_ip("127.0.0.2", &client), 0);
    cr_assert_eq(region_table_find(table, &client), 1);
    cr_assert_eq(address_parse_ip("127.0.1.2", &client), 0);
    cr_assert_eq(region_table_find(table, &client), 2);
    region_table_free(table);
}

Test(regions, version_goes_by_content)
{
    struct region_table *first, *second, *third;
    struct conf_error error;
    cr_assert_eq(parse(example, &first, &error), 0);
    cr_assert_eq(parse("client 127.0.1.0/24 2\nclient 127.0.0.0/24 1\nregion 2 [::1]:8400\n"
                       "region 1 127.0.0.1:7401 127.0.0.1:7400\n",
                       &second, &error),
                 0);
    cr_assert_eq(parse("client 127.0.1.0/24 1\nclient 127.0.0.0/24 2\nregion 2 [::1]:8400\n"
                       "region 1 127.0.0.1:7401 127.0.0.1:7400\n",
                       &third, &error),
                 0);
    cr_assert_neq(first->version, 0);
    cr_assert_eq(first->version, second->version);
    cr_assert_neq(first->version, third->version);
    region_table_free(first);
    region_table_free(second);
    region_table_free(third);
}

Test(regions, table_becomes_a_frame)
{
    struct region_table *table;
    struct conf_error error;
    struct buffer bytes = {.length = 0};
    struct frame frame;
    struct wire_region_table head;
    struct wire_regions regions;
    enum refusal refusal;
    cr_assert_eq(parse(example, &table, &error), 0);
    cr_assert_eq(region_frame_make(table, &bytes), 0);
    cr_assert_eq(frame_decode_stream(bytes.bytes, bytes.length, &frame, &refusal), (int)bytes.length);
    cr_assert_eq(wire_region_table_decode(&frame, &head, &regions, &refusal), 0);
    cr_assert_eq(head.version, table->version);
    cr_assert_eq(head.dispatcher_count, 3);
    cr_assert_eq(head.range_count, 2);
    buffer_done(&bytes);
    region_table_free(table);
}
