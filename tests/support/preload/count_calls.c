/* count_calls - counts what each thread of a program allocates and locks, for tests/integration/path.py.
 *
 * Put before libc by LD_PRELOAD. The counts stand in the file that COUNT_CALLS_FILE names, shared with whoever maps it: THREADS_MAX rows of
 * struct thread_counts, one for each thread that called anything, in the order of their first calls. Reading them disturbs nobody.
 * Memory: nothing is allocated here, and a thread writes to its own row alone, so the counted calls behave as without it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define THREADS_MAX 64u

/* As path.py reads it. */
struct thread_counts {
    uint32_t thread;
    uint32_t unused;
    _Atomic uint64_t allocations;
    _Atomic uint64_t frees;
    _Atomic uint64_t locks;
};

static struct thread_counts *counts_of_all;
static _Atomic uint32_t threads_count;
/* In the static block of thread-local storage: making room for it later would allocate. */
static __thread struct thread_counts *counts_own __attribute__((tls_model("initial-exec")));

/* glibc's own entries: dlsym(3) for the next malloc would itself call calloc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

__attribute__((constructor)) static void counts_open(void)
{
    const char *path = getenv("COUNT_CALLS_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    size_t bytes = THREADS_MAX * sizeof(struct thread_counts);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return;
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (shared != MAP_FAILED)
        counts_of_all = shared;
    /* strace, which counts the system calls beside, is no parent of this process: Yama wants it to be allowed. */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

/* NULL before the file is open, and for threads beyond THREADS_MAX. */
static struct thread_counts *counts_get(void)
{
    if (counts_own || !counts_of_all)
        return counts_own;
    uint32_t row = atomic_fetch_add_explicit(&threads_count, 1, memory_order_relaxed);
    if (row >= THREADS_MAX)
        return NULL;
    counts_own = &counts_of_all[row];
    counts_own->thread = (uint32_t)gettid();
    return counts_own;
}

#define COUNT(what)                                                                                                              \
    do {                                                                                                                         \
        struct thread_counts *counts = counts_get();                                                                             \
        if (counts)                                                                                                              \
            atomic_fetch_add_explicit(&counts->what, 1, memory_order_relaxed);                                                   \
    } while (0)

void *malloc(size_t bytes)
{
    COUNT(allocations);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    COUNT(allocations);
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    COUNT(allocations);
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    COUNT(allocations);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t bytes)
{
    void *memory = memalign(alignment, bytes);
    if (!memory)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}

void free(void *memory)
{
    if (!memory)
        return;
    COUNT(frees);
    __libc_free(memory);
}

/* LOCK(function, type): what takes a lock or waits for one. */
#define LOCK(function, type)                                                                                                     \
    int function(type *lock)                                                                                                     \
    {                                                                                                                            \
        static int (*_Atomic next)(type *);                                                                                      \
        int (*known)(type *) = atomic_load_explicit(&next, memory_order_relaxed);                                                \
        COUNT(locks);                                                                                                            \
        if (!known) {                                                                                                            \
            *(void **)&known = dlsym(RTLD_NEXT, #function);                                                                      \
            atomic_store_explicit(&next, known, memory_order_relaxed);                                                           \
        }                                                                                                                        \
        return known(lock);                                                                                                      \
    }

LOCK(pthread_mutex_lock, pthread_mutex_t)
LOCK(pthread_mutex_trylock, pthread_mutex_t)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
LOCK(sem_wait, sem_t)
LOCK(sem_post, sem_t)
