/* What was retired is released when nobody can be using it, and not before. */
#include <criterion/criterion.h>

#include "core/base/memory.h"
#include "dispatcher/publication.h"

enum { READERS = 2 };

struct box {
    struct retired retired; /* first */
    int released;
};

static struct publication *publication;
static struct box boxes[3];

static void setup(void)
{
    publication = memory_new_aligned(sizeof(*publication));
    cr_assert_not_null(publication);
    publication_init(publication, READERS, &boxes[0]);
}

static void teardown(void)
{
    publication_done(publication);
    free(publication);
}

static void box_release(struct retired *retired)
{
    ((struct box *)(void *)retired)->released++;
}

static void replace(struct box *before, struct box *after)
{
    publication_replace(publication, after);
    publication_retire(publication, &before->retired, box_release);
}

Test(publication, keeps_what_a_reader_is_using, .init = setup, .fini = teardown)
{
    cr_assert_eq(publication_enter(publication, 1), &boxes[0]);
    replace(&boxes[0], &boxes[1]);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 0);
    publication_leave(publication, 1);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 1);
}

Test(publication, keeps_what_came_after_it_too_while_an_old_reader_is_inside, .init = setup, .fini = teardown)
{
    cr_assert_eq(publication_enter(publication, 0), &boxes[0]);
    replace(&boxes[0], &boxes[1]);
    cr_assert_eq(publication_enter(publication, 1), &boxes[1]);
    replace(&boxes[1], &boxes[2]);
    publication_leave(publication, 1);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released + boxes[1].released, 0);
    publication_leave(publication, 0);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 1);
    cr_expect_eq(boxes[1].released, 1);
}

Test(publication, releases_at_once_when_nobody_is_inside, .init = setup, .fini = teardown)
{
    cr_assert_eq(publication_enter(publication, 0), &boxes[0]);
    publication_leave(publication, 0);
    replace(&boxes[0], &boxes[1]);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 1);
}

Test(publication, is_not_held_back_by_who_entered_later, .init = setup, .fini = teardown)
{
    replace(&boxes[0], &boxes[1]);
    cr_assert_eq(publication_enter(publication, 0), &boxes[1]);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 1);
    publication_leave(publication, 0);
}

Test(publication, releases_each_once, .init = setup, .fini = teardown)
{
    replace(&boxes[0], &boxes[1]);
    publication_collect(publication);
    publication_collect(publication);
    cr_expect_eq(boxes[0].released, 1);
}

Test(publication, releases_the_rest_at_its_end, .init = setup)
{
    replace(&boxes[0], &boxes[1]);
    replace(&boxes[1], &boxes[2]);
    teardown();
    cr_expect_eq(boxes[0].released, 1);
    cr_expect_eq(boxes[1].released, 1);
    cr_expect_eq(boxes[2].released, 0, "what is current stays its owner's");
}
