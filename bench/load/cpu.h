/* cpu - how much CPU the generator and the server use, and which process the server is.
 *
 * What is not permitted or not there is "unknown", never an error: the server may run elsewhere, or as another user.
 * Thread: one. Memory: in place. Reads /proc, hence may take a while where there are many processes: before the run only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/address.h"

#define CPU_THREADS_MAX 256

struct cpu_thread {
    pid_t id;
    uint64_t run_ns;
};

/* What a process had used at one time; those above CPU_THREADS_MAX are left out. thread_count 0: unknown. */
struct cpu_sample {
    uint32_t thread_count;
    struct cpu_thread thread[CPU_THREADS_MAX];
};

struct cpu_use {
    double process_ns; /* all threads together; < 0: unknown */
    double busiest_ns; /* the thread that used most */
};

#define CPU_SERVERS_MAX 64u

struct cpu_servers {
    uint32_t count; /* 0: unknown */
    pid_t pid[CPU_SERVERS_MAX]; /* each once */
};

/* The process on this machine that listens at that address; 0: unknown. */
pid_t cpu_find_server(const struct address *address, bool tcp);

/* Those of all addresses (at most CPU_SERVERS_MAX); none when one is not known, for a part would be taken for the whole. */
void cpu_find_servers(const struct address *addresses, uint32_t count, bool tcp, struct cpu_servers *ret_servers);

/* pid 0 gives an unknown one. */
void cpu_sample_take(pid_t pid, struct cpu_sample *ret_sample);

/* What was used in between. A thread that is only in the second began in between. */
struct cpu_use cpu_use_between(const struct cpu_sample *begin, const struct cpu_sample *end);

/* Of the calling thread so far. */
struct cpu_own {
    uint64_t run_ns;
    uint64_t wait_ns; /* it could have run, but others used its core */
};
struct cpu_own cpu_own_now(void);

/* What several processes use between two moments. */
struct cpu_watch {
    struct cpu_sample begin[CPU_SERVERS_MAX];
    struct cpu_sample end[CPU_SERVERS_MAX];
};

void cpu_watch_begin(struct cpu_watch *watch, const struct cpu_servers *servers);

/* All processes added up, and the busiest thread of all; unknown when one of them is. */
struct cpu_use cpu_watch_end(struct cpu_watch *watch, const struct cpu_servers *servers);
