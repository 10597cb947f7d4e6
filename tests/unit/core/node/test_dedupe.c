/* A job that is sent twice runs once (reliability: job sent twice). */
#include <criterion/criterion.h>

#include "core/node/dedupe.h"

static struct dedupe dedupe;

static void init(void)
{
    cr_assert_eq(dedupe_init(&dedupe), 0);
}

static void done(void)
{
    dedupe_done(&dedupe);
}

static struct dedupe_key key(uint64_t client_id, uint64_t job_id)
{
    return (struct dedupe_key){.client_id = client_id, .job_id = job_id};
}

static void add(uint64_t client_id, uint64_t job_id, uint64_t now_ns)
{
    cr_assert_eq(dedupe_add(&dedupe, key(client_id, job_id), now_ns), 0);
}

TestSuite(dedupe, .init = init, .fini = done);

Test(dedupe, added_job_is_known)
{
    add(1, 2, 100);
    cr_expect(dedupe_knows(&dedupe, key(1, 2), 100));
}

Test(dedupe, other_client_or_job_is_not_known)
{
    add(1, 2, 100);
    cr_expect_not(dedupe_knows(&dedupe, key(2, 2), 100));
    cr_expect_not(dedupe_knows(&dedupe, key(1, 1), 100));
    cr_expect_not(dedupe_knows(&dedupe, key(2, 1), 100));
}

Test(dedupe, job_is_known_for_ten_minutes)
{
    add(1, 2, 100);
    cr_expect(dedupe_knows(&dedupe, key(1, 2), 100 + DEDUPE_NS - 1));
    cr_expect_not(dedupe_knows(&dedupe, key(1, 2), 100 + DEDUPE_NS));
}

Test(dedupe, forgotten_job_may_come_again)
{
    add(1, 2, 100);
    dedupe_forget(&dedupe, key(1, 2));
    cr_expect_not(dedupe_knows(&dedupe, key(1, 2), 101));
    add(1, 2, 200);
    cr_expect(dedupe_knows(&dedupe, key(1, 2), 100 + DEDUPE_NS), "the first one's end is not the second one's");
    cr_expect_not(dedupe_knows(&dedupe, key(1, 2), 200 + DEDUPE_NS));
}

Test(dedupe, oldest_goes_when_full)
{
    for (uint64_t i = 0; i < DEDUPE_ENTRIES_MAX; i++)
        add(i, i, 100);
    cr_expect(dedupe_knows(&dedupe, key(0, 0), 100));
    add(1, 0, 100);
    cr_expect_not(dedupe_knows(&dedupe, key(0, 0), 100));
    cr_expect(dedupe_knows(&dedupe, key(1, 1), 100));
    cr_expect(dedupe_knows(&dedupe, key(1, 0), 100));
}
