/* micro - what the groups of micro benchmarks share: a subject is something whose time per operation is measured, subjects of a set
 * are measured alternately, and a ratio is taken between samples of one round, so that it does not matter how fast the machine is just
 * then.
 *
 * Thread: the program's main thread, pinned to the first CPU; threads that a subject starts are its own affair (crew.h).
 * Memory: rows are kept until micro_done. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define MICRO_NAME_BYTES 64
#define MICRO_WHY_BYTES 160
#define MICRO_ROUNDS_MAX 1000u
#define MICRO_SUBJECTS_MAX 12u
#define MICRO_NONE UINT32_MAX

struct micro_subject {
    char name[MICRO_NAME_BYTES]; /* "": no row of its own */
    /* Does `operations` operations; how long they took altogether. -ETIMEDOUT: came to a standstill; -EBADMSG: did something wrong;
     * or another negative errno. */
    int (*run)(void *ctx, uint64_t operations, uint64_t *ret_ns);
    void *ctx;
    uint32_t against; /* index in the set of what it is compared with, or MICRO_NONE */
    double goal_ns; /* at most; 0: no such goal */
    double goal_ratio; /* at least so many times as fast as what it is compared with; 0: no such goal */
};

/* The middle of the samples, and what the middle half of them lies between. */
struct micro_spread {
    double median;
    double low;
    double high;
    double best; /* the least */
};

struct micro_row {
    const char *group;
    char name[MICRO_NAME_BYTES];
    char against[MICRO_NAME_BYTES]; /* "": nothing */
    struct micro_spread ns;
    struct micro_spread ratio; /* how many times as fast as `against` */
    struct micro_spread quiet; /* of `ns`, in the rounds that were quiet; nothing when there were none */
    uint32_t quiet_rounds;
    uint32_t rounds;
    bool judged; /* whether rounds were quiet is known */
    double goal_ns;
    double goal_ratio;
};

/* Whether nothing disturbed a round, by what each subject of the set took in it. */
typedef bool micro_round_is_quiet(const double ns[]);

struct micro {
    uint32_t rounds;
    uint64_t sample_ns; /* about how long one sample takes */
    int cpus[2];
    uint32_t cpu_count; /* 1: measurements between two cores are left out */
    const char *group; /* that is running */
    struct micro_row *rows;
    uint32_t row_count;
    char notes[4][MICRO_WHY_BYTES]; /* what was left out, and how to get it */
    uint32_t note_count;
    char why[MICRO_WHY_BYTES]; /* why a run failed */
};

/* Finds the CPUs and pins the thread to the first. */
void micro_init(struct micro *micro, uint32_t rounds, uint64_t sample_ns);
void micro_done(struct micro *micro);

/* Measures the subjects, alternately, and adds a row for each. Negative errno with micro->why. */
NODISCARD int micro_measure(struct micro *micro, const struct micro_subject subjects[], uint32_t subject_count);

/* The same; rows say of the quiet rounds beside all. is_quiet NULL: that is not known. */
NODISCARD int micro_measure_judged(struct micro *micro, const struct micro_subject subjects[], uint32_t subject_count,
                                   micro_round_is_quiet *is_quiet);

void micro_note(struct micro *micro, const char *format, ...) PRINTF_LIKE(2, 3);

/* Sets micro->why and returns the error. */
int micro_fail(struct micro *micro, int error, const char *format, ...) PRINTF_LIKE(3, 4);

/* Of samples, which it sorts. */
struct micro_spread micro_spread_of(double samples[], uint32_t sample_count);

/* The compiler must believe that the value is used. */
static inline void micro_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* The groups. Negative errno with micro->why. */
NODISCARD int micro_spsc(struct micro *micro);
NODISCARD int micro_mpmc(struct micro *micro);
NODISCARD int micro_pick(struct micro *micro);
NODISCARD int micro_codec(struct micro *micro);
NODISCARD int micro_path(struct micro *micro);
NODISCARD int micro_histogram(struct micro *micro);
NODISCARD int micro_snapshot(struct micro *micro);
