/* The directory in a file: what comes back of it, and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/wire/service.h"
#include "dispatcher/saved.h"

#define REGION 3
#define NODES 3000u /* more than a part takes */
#define HOUR_MS (3600 * MS_PER_S)

static char state_dir[] = "/tmp/usher-saved-XXXXXX";
static struct loop *loop;
static struct directory *directory;
static struct saver *saver;
static struct conf_error why;

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    cr_assert_not_null(mkdtemp(state_dir));
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_eq(directory_new(REGION, 1, &directory), 0);
    cr_assert_eq(saver_new(loop, directory, state_dir, REGION, &saver), 0);
}

static void file_path(char path[static 64])
{
    snprintf(path, 64, "%s/%s", state_dir, SAVED_NAME);
}

static void teardown(void)
{
    char path[64];
    saver_free(saver);
    directory_free(directory);
    loop_free(loop);
    file_path(path);
    (void)unlink(path);
    (void)rmdir(state_dir);
}

static uint8_t first_flags; /* of the dispatcher among the nodes */

static struct address node_address(uint32_t index)
{
    return (struct address){.family = ADDRESS_IPV4, .port = 7500, .ip = {10, 0, (uint8_t)(index >> 8), (uint8_t)index}};
}

static void take_part(struct directory *into, uint32_t first, uint32_t count, bool more)
{
    static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
    struct wire_nodes_builder builder;
    struct frame frame;
    enum refusal refusal;
    struct wire_directory list = {.version = {.rm_id = 9, .epoch = 2, .sequence = 77}, .node_total = NODES, .first = first == 0};
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    for (uint32_t i = first; i < first + count; i++) {
        struct wire_node node = {
            .address = node_address(i),
            .kind = i == 0 ? WIRE_NODE_DISPATCHER : WIRE_NODE_WORKER,
            .flags = i == 1   ? WIRE_NODE_ADMIN_DRAIN
                     : i == 0 ? first_flags
                              : 0,
            .boot_id = 5,
            .age_ms = 100,
            .load_index = (float)i,
            .service_count = 1,
            .services = {{.service_id = service_id("echo", 4), .flags = i % 2 ? WIRE_SERVICE_BELOW_AVERAGE : 0}},
        };
        cr_assert_eq(wire_nodes_add(&builder, &node), 0);
    }
    int length = wire_nodes_finish(&builder, more);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(directory_take(into, &frame, loop_now_ns(loop), &refusal), 0);
}

static void take_list(struct directory *into)
{
    for (uint32_t first = 0; first < NODES; first += 500)
        take_part(into, first, 500, first + 500 < NODES);
}

static void save(void)
{
    take_list(directory);
    cr_assert_eq(saver_save(saver), 0);
}

/* Into an empty directory; freed by the caller when it is not NULL. */
static int load(uint16_t region, uint64_t later_ms, struct directory **ret_directory)
{
    struct directory *fresh;
    cr_assert_eq(directory_new(region, 1, &fresh), 0);
    uint64_t now_ns = loop_now_ns(loop) + later_ms * NS_PER_MS;
    int error = saved_load(fresh, state_dir, region, now_ns, loop_wall_ms(loop) + later_ms, &why);
    if (error == 0) {
        *ret_directory = fresh;
        return 0;
    }
    cr_expect_not(directory_is_filled(fresh));
    directory_free(fresh);
    return error;
}

static int load_refused(uint16_t region, uint64_t later_ms)
{
    struct directory *loaded;
    int error = load(region, later_ms, &loaded);
    cr_assert_lt(error, 0);
    return error;
}

/* One byte of the file becomes another. */
static void damage(off_t at)
{
    char path[64];
    uint8_t byte;
    file_path(path);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(saved, there_is_nothing_to_load_at_first, .init = setup, .fini = teardown)
{
    cr_expect_eq(load_refused(REGION, 0), -ENOENT);
}

Test(saved, a_damaged_file_is_refused_wherever_the_damage_is, .init = setup, .fini = teardown)
{
    static const off_t places[] = {0, 9, 20, 25, 30, 35, 40, 100, 100000};
    save();
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        damage(places[i]);
        cr_expect_eq(load_refused(REGION, 0), -EINVAL, "damaged at %ld: %s", (long)places[i], why.text);
        damage(places[i]); /* whole again */
    }
}

Test(saved, a_file_that_is_cut_is_refused, .init = setup, .fini = teardown)
{
    char path[64];
    save();
    file_path(path);
    cr_assert_eq(truncate(path, 70000), 0);
    cr_expect_eq(load_refused(REGION, 0), -EINVAL);
    cr_assert_eq(truncate(path, 10), 0);
    cr_expect_eq(load_refused(REGION, 0), -EINVAL);
}

Test(saved, a_file_of_another_region_is_refused, .init = setup, .fini = teardown)
{
    save();
    cr_expect_eq(load_refused(REGION + 1, 0), -EXDEV);
    cr_expect_str_eq(why.text, "it is of region 3");
}

Test(saved, a_file_older_than_a_day_is_refused, .init = setup, .fini = teardown)
{
    save();
    cr_expect_eq(load_refused(REGION, 25 * HOUR_MS), -ESTALE);
}

Test(saved, the_old_file_stays_when_the_new_one_cannot_be_written, .init = setup, .fini = teardown)
{
    struct directory *loaded;
    save();
    free(saver->new_path);
    saver->new_path = strdup("/nowhere/directory.new");
    cr_expect_eq(saver_save(saver), -ENOENT);
    cr_assert_eq(load(REGION, 0, &loaded), 0);
    directory_free(loaded);
}

Test(saved, everybody_comes_back_as_he_was, .init = setup, .fini = teardown)
{
    struct directory *loaded;
    save();
    cr_assert_eq(load(REGION, 0, &loaded), 0, "%s", why.text);
    cr_expect_eq(loaded->members.present_count, NODES);
    const struct snapshot_service *echo = snapshot_service_find(loaded->view->snapshot, service_id("echo", 4));
    cr_assert_not_null(echo);
    cr_expect_eq(echo->member_count, NODES);
    cr_expect_eq(loaded->view->location->dispatcher_count, 1);
    for (uint32_t i = 0; i < NODES; i++) {
        struct address address = node_address(i);
        uint32_t slot = members_find(&loaded->members, &address);
        cr_assert_neq(slot, MEMBER_NONE);
        const struct node_values *values = &loaded->members.values[slot];
        cr_expect_eq(atomic_load(&values->load_index), (float)i);
        cr_expect_eq(atomic_load(&values->below_mask), i % 2);
        cr_expect_eq((atomic_load(&values->flags) & NODE_VALUE_DRAIN) != 0, i == 1);
    }
    directory_free(loaded);
}

Test(saved, it_is_old_until_an_rm_speaks, .init = setup, .fini = teardown)
{
    struct directory *loaded;
    save();
    cr_assert_eq(load(REGION, 2 * HOUR_MS, &loaded), 0);
    cr_expect(directory_is_filled(loaded));
    cr_expect(directory_is_restored(loaded));
    cr_expect_eq(loaded->version.sequence, 77, "so that an rm can tell what has changed since");
    cr_expect_leq(loaded->updated_ns, loop_now_ns(loop) + NS_PER_MS);
    take_list(loaded);
    cr_expect_not(directory_is_restored(loaded));
    directory_free(loaded);
}

Test(saved, a_table_of_regions_comes_back, .init = setup, .fini = teardown)
{
    static uint8_t bytes[4096];
    struct wire_region_table head = {.version = 8, .dispatcher_count = 1};
    struct wire_region_dispatcher other = {.region = 5, .address = node_address(9)};
    struct directory *loaded;
    struct frame frame;
    enum refusal refusal;
    int length = wire_region_table_encode(&head, &other, NULL, 1, bytes, sizeof(bytes));
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(directory_take(directory, &frame, loop_now_ns(loop), &refusal), 0);
    save();
    cr_assert_eq(load(REGION, 0, &loaded), 0);
    cr_expect_eq(loaded->table_version, 8);
    cr_expect_eq(loaded->view->location->dispatcher_count, 2);
    directory_free(loaded);
}

Test(saved, who_was_drained_is_saved_at_the_next_look, .init = setup, .fini = teardown)
{
    struct directory *loaded;
    struct address address = node_address(0);
    save();
    first_flags = WIRE_NODE_ADMIN_DRAIN;
    take_list(directory);
    do {
        timer_stop(&saver->timer);
        saver->timer.fn(saver->timer.ctx, &saver->timer);
    } while (saver->fd >= 0);
    cr_assert_eq(load(REGION, 0, &loaded), 0);
    cr_expect(loaded->members.slots[members_find(&loaded->members, &address)].flags & WIRE_NODE_ADMIN_DRAIN);
    directory_free(loaded);
}

Test(saved, what_has_changed_is_saved_at_the_end, .init = setup, .fini = teardown)
{
    struct directory *loaded;
    take_list(directory);
    saver_free(saver);
    saver = NULL;
    cr_assert_eq(load(REGION, 0, &loaded), 0);
    cr_expect_eq(loaded->members.present_count, NODES);
    directory_free(loaded);
}
