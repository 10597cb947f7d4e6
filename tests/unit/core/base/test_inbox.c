#include <criterion/criterion.h>

#include "core/base/inbox.h"

Test(inbox, empty_has_nothing_to_take)
{
    struct inbox inbox;
    inbox_init(&inbox);
    cr_assert_null(inbox_take_all(&inbox));
}

Test(inbox, only_the_first_push_says_that_it_was_empty)
{
    struct inbox inbox;
    struct inbox_node nodes[2];
    inbox_init(&inbox);
    cr_assert(inbox_push(&inbox, &nodes[0]));
    cr_assert_not(inbox_push(&inbox, &nodes[1]));
}

Test(inbox, first_push_after_a_take_says_that_it_was_empty)
{
    struct inbox inbox;
    struct inbox_node nodes[2];
    inbox_init(&inbox);
    cr_assert(inbox_push(&inbox, &nodes[0]));
    cr_assert_not_null(inbox_take_all(&inbox));
    cr_assert(inbox_push(&inbox, &nodes[1]));
}

Test(inbox, nodes_come_in_the_order_they_were_pushed)
{
    struct inbox inbox;
    struct inbox_node nodes[3];
    inbox_init(&inbox);
    for (int i = 0; i < 3; i++)
        (void)!inbox_push(&inbox, &nodes[i]);
    struct inbox_node *taken = inbox_take_all(&inbox);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(taken, &nodes[i]);
        taken = taken->next;
    }
    cr_assert_null(taken);
    cr_assert_null(inbox_take_all(&inbox));
}
