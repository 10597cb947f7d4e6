/* Answers as people read them. */
#include <criterion/criterion.h>
#include <string.h>

#include "tools/usherctl/print.h"

static const char *printed(const char *json)
{
    static struct buffer text;
    json_t *answer = json_loads(json, 0, NULL);
    cr_assert(json_is_object(answer));
    buffer_done(&text);
    cr_assert_eq(print_answer(answer, &text), 0);
    cr_assert_eq(buffer_append(&text, "", 1), 0);
    json_decref(answer);
    return (const char *)text.bytes;
}

Test(print, answer_without_members_is_ok)
{
    cr_expect_str_eq(printed("{\"ok\":true}"), "ok\n");
}

Test(print, empty_things_are_dashes)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"nodes\":[]}"), "nodes  -\n");
    cr_expect_str_eq(printed("{\"ok\":true,\"a\":\"\",\"b\":null}"), "a  -\nb  -\n");
}

Test(print, members_are_aligned_lines)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"io\":\"epoll\",\"healthy\":false,\"load\":0.25,\"l\":[1,\"x\"]}"),
                     "io       epoll\nhealthy  no\nload     0.25\nl        1,x\n");
}

Test(print, reals_have_the_digits_that_people_read)
{
    cr_expect_str_eq(printed("{\"a\":0.34999999403953552,\"b\":1234567.25,\"c\":12.0,\"d\":-0.000012345}"),
                     "a  0.35\nb  1234567\nc  12\nd  -1.234e-05\n");
}

Test(print, list_of_objects_is_a_table_with_numbers_to_the_right)
{
    cr_expect_str_eq(
        printed("{\"ok\":true,\"nodes\":[{\"node\":\"a:1\",\"load\":1},{\"node\":\"bb:2\",\"load\":10,\"s\":[\"x\",\"y\"]}]}"),
        "node  load  s\na:1      1  -\nbb:2    10  x,y\n");
}

Test(print, table_leaves_out_what_makes_it_wider_than_a_screen)
{
    cr_expect_str_eq(printed("{\"nodes\":[{\"a\":1,\"boot_id\":\"00ff\",\"metadata\":{\"cpu\":1},\"restored\":false}]}"),
                     "a\n1\n");
    cr_expect_str_eq(printed("{\"boot_id\":\"00ff\"}"), "boot_id  00ff\n");
}

Test(print, node_metrics_are_for_machines)
{
    cr_expect_str_eq(printed("{\"nodes\":[{\"a\":1,\"metrics\":{\"cpu_use\":{\"value\":1,\"rate\":0}}}]}"), "a\n1\n");
}

Test(print, things_with_a_state_in_a_cell_are_named_with_it)
{
    cr_expect_str_eq(
        printed("{\"t\":[{\"s\":[{\"name\":\"web\",\"state\":\"up\",\"check_ms\":0.1},{\"name\":\"b\",\"state\":\"down\"}]}]}"),
        "s\nweb=up,b=down\n");
}

Test(print, control_characters_are_escaped)
{
    cr_expect_str_eq(printed("{\"n\":[{\"r\":\"a\\u001b[31mb\\nc\\u007f\\u009bd\"}]}"),
                     "r\na\\u001b[31mb\\u000ac\\u007f\\u009bd\n");
}

Test(print, table_beside_other_members_has_a_title)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"v\":1,\"rm\":[{\"a\":1}]}"), "v  1\n\nrm:\na\n1\n");
}

Test(print, object_is_a_block)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"stats\":{\"x\":1,\"long\":2}}"), "x     1\nlong  2\n");
}

Test(print, object_in_a_table_is_a_list_of_names_and_values)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"n\":[{\"m\":{\"cpu\":0.5,\"x\":[1]},\"e\":{}}]}"),
                     "m              e\ncpu=0.5,x=[1]  -\n");
}

Test(print, object_within_has_lines_and_tables_of_its_own)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"a\":1,\"n\":{\"m\":{\"cpu\":0.5},\"t\":[{\"x\":1}],\"z\":true}}"),
                     "a  1\n\nn:\nm  cpu=0.5\nz  yes\n\nn t:\nx\n1\n");
}

Test(print, width_counts_characters)
{
    cr_expect_str_eq(printed("{\"ok\":true,\"n\":[{\"a\":\"\u00e4\u00e4\",\"b\":\"x\"},{\"a\":\"cc\",\"b\":\"y\"}]}"),
                     "a   b\n\u00e4\u00e4  x\ncc  y\n");
}
