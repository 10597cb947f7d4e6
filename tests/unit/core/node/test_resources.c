/* What the machine that runs the test says of itself. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/node/resources.h"

#define WINDOW_NS (1 * NS_PER_S)
#define SAMPLE_NS (100 * NS_PER_MS)

/* Written through, so that the disk has moved something even on a machine that does nothing else. */
static void disk_write(void)
{
    static char bytes[1 << 20];
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    (void)fsync(fd);
    close(fd);
}

Test(resources, latest_throughput_is_not_smoothed)
{
    struct resources_config config = {.window_ns = WINDOW_NS};
    struct resources *resources;
    struct load_sample sample;
    cr_assert_eq(resources_new(&config, NS_PER_S, &resources), 0);
    disk_write();
    resources_take(resources, NS_PER_S + SAMPLE_NS, &sample);
    const struct resource_report *report = resources_report(resources);
    for (uint32_t i = RESOURCE_DISK_READ; i <= RESOURCE_NIC_OUT; i++) {
        double share = (double)SAMPLE_NS / (double)(SAMPLE_NS + WINDOW_NS);
        double mean = (double)report->value[i], latest = (double)report->latest[i];
        cr_expect(fabs(mean - share * latest) <= 1e-5 * latest, "%s: %g, its mean %g", resource_names[i], latest, mean);
    }
    resources_take(resources, NS_PER_S + 2 * SAMPLE_NS, &sample);
    cr_expect_leq(report->latest[RESOURCE_CPU_CORES], 0, "what there is does not move");
    resources_free(resources);
}
