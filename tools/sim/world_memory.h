/* world_memory - what a world is made of: allocated and freed here. For the world's own files.
 * A simulation that runs out of memory ends with a message; so nothing here fails. */
#pragma once

#include "tools/sim/world.h"

struct world *world_new(const struct scenario *scenario, const struct sim_policy *policy);
void world_free(struct world *world);

/* The index of a job, or a report, of any content. */
uint32_t world_job_new(struct world *world);
void world_job_free(struct world *world, uint32_t job);
uint32_t world_report_new(struct world *world);
void world_report_free(struct world *world, uint32_t report);

/* calloc and realloc that do not fail. */
void *sim_allocate(size_t count, size_t bytes);
void *sim_resize(void *memory, size_t count, size_t bytes);
