/* mirror_stage - a mirror, its cluster and a real redis-server on a socket in a folder of its own; for tests.
 * Thread: one. Memory: stage_setup … stage_teardown. Blocks: whatever waits, for at most STAGE_WAIT_NS. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/redis/redis_server.h"
#include "rm/mirror.h"
#include "tests/unit/rm/fixture.h"

#define STAGE_WAIT_NS (10 * NS_PER_S)

struct stage {
    struct loop *loop;
    struct redis_server *server;
    struct fixture *fixture; /* its clock is the loop's */
    struct mirror *mirror;
    struct counters counters;
    uint32_t loads; /* times that the mirror has told so */
    uint32_t words_told;
    bool beating; /* nodes 1 … 3 heartbeat all the while */
    char folder[32];
};

extern struct stage stage;

void stage_setup(void);
void stage_teardown(void);

/* As setup does. */
void stage_mirror_open(void);
void stage_clock_follow(void);

void stage_run_once(void);
void stage_run_for(uint64_t duration_ns);
void stage_wait_until(bool (*condition)(void));

bool stage_is_up(void);
bool stage_is_down(void);
bool stage_is_written(void); /* up, and the beats of nodes 1 … 3 stand there */
bool stage_is_refused(void);
bool stage_is_accepted(void);

/* One episode, though most flushes have nothing that is refused: 2 s of them in which nobody says that all is well. */
void stage_refusal_lasts(const char *reason);

/* redis_peek_count */
int64_t stage_ask(const char *command);
