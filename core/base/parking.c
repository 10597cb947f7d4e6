#include "core/base/parking.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"

void parking_init(struct parking *parking)
{
    atomic_init(&parking->waiters, 0);
    atomic_init(&parking->epoch, 0);
}

/* FUTEX_WAIT_BITSET and not FUTEX_WAIT: its time is absolute, so an interrupted sleep doesn't start over. */
static int futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *deadline)
{
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
    return r < 0 ? -errno : 0;
}

int parking_wait(struct parking *parking, uint32_t key, uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int r = futex_wait(&parking->epoch, key, deadline_ns == PARKING_FOREVER ? NULL : &deadline);
    parking_cancel(parking);
    if (r == -ETIMEDOUT)
        return r;
    /* EAGAIN: the epoch moved on before the kernel looked. EINTR: a signal; the caller looks at its condition again. */
    CHECK(r == 0 || r == -EAGAIN || r == -EINTR);
    return 0;
}

void parking_wake_sleepers(struct parking *parking, int count)
{
    /* seq_cst: stands between the waker's condition and the sleeper's key in the order argued in the header. The epoch wraps
     * after 2^32 wakes; a sleeper would have to stand between prepare and wait for exactly that many to miss one. */
    atomic_fetch_add_explicit(&parking->epoch, 1, memory_order_seq_cst);
    long r = syscall(SYS_futex, &parking->epoch, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
    CHECK(r >= 0);
}
