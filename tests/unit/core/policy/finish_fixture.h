/* finish_fixture - eight nodes of one service under finish-time, and a clock that the test moves. */
#pragma once

#include <criterion/criterion.h>

#include "core/policy/policy.h"

#define NODES 8u
#define SERVICE UINT64_C(77)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

extern struct finish_time finish;
extern struct node_values values[NODES];
extern struct finish_track tracks[NODES];
extern struct pick_state state;
extern struct snapshot *snapshot;
extern uint64_t now_ns;

void finish_setup(void);
void finish_teardown(void);

/* Of a node with one slot whose jobs take so long each. */
struct finish_report report_of(uint32_t jobs, float job_s);

/* The slot; a test fails when there is none. */
uint32_t pick(void);

void picks_count(uint32_t picks, uint32_t ret_counts[static NODES]);
