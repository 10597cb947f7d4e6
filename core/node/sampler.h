/* sampler - reads the machine's use of CPU, memory and disk for the load index: the shell round proc.h.
 *
 * A file that can't be read (hidden by a container, say) makes its share 0. Thread: the loop's. Reading /proc costs the kernel some
 * 20 µs, on machines of hundreds of CPUs up to a millisecond; statvfs asks a local file system. Neither waits for a device.
 * Memory: sampler_new allocates. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"
#include "core/node/load.h"

struct sampler;

/* Takes the first readings, from which the first sample's differences count. disk_path is needed for LOAD_DISK_SPACE only, and copied.
 * -ENOMEM; -ENOENT and others of statvfs(3) for disk_path. */
NODISCARD int sampler_new(enum load_disk disk, const char *disk_path, uint64_t now_ns, struct sampler **ret_sampler);
void sampler_free(struct sampler *sampler);

/* Fills cpu, memory and disk: use since the last call, or now. */
void sampler_take(struct sampler *sampler, uint64_t now_ns, struct load_sample *ret_sample);
