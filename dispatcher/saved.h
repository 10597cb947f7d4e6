/* saved - the directory in a file of the state directory, so that a dispatcher that starts while no rm answers serves the one it had.
 *
 *     offset 0  magic "USHRDIR1"        32  payload's length  u64
 *            8  checksum       u64      40  payload: a REGION_TABLE, if there is one, and the DIRECTORY in parts, as rm sends them
 *           16  saved_ms       u64
 *           24  region         u16, then 6 bytes 0
 *
 * Numbers are big-endian; the checksum (FNV-1a-64) is over the payload and then the head behind it; saved_ms is the wall clock when rm
 * last spoke. Written into a second file, part by part between the loop's other work, and renamed when it is whole: whatever happens
 * meanwhile, a whole one is there. It is not synced to the disk: a crash of the machine may leave one that is not whole, which is
 * refused like any other that is corrupt.
 *
 * What is saved while reports come in is no one state, but its version is the one at the beginning: what has changed since then, an
 * rm tells again.
 * Thread: control. Writing does not wait for the disk, except where the kernel makes it. Memory: one part. */
#pragma once

#include "core/conf/conf.h"
#include "core/io/loop.h"
#include "core/io/timer.h"
#include "dispatcher/directory.h"

#define SAVED_HEAD_BYTES 40u

/* An older one is not served any more. */
#define SAVED_AGE_MS_MAX (UINT64_C(24) * 3600 * 1000)

struct saver {
    struct loop *loop;
    struct directory *directory;
    struct timer timer;
    char *path;
    char *new_path;
    uint16_t region;
    int fd; /* of the second file; -1: nothing is being written */
    bool failed_logged; /* since one was written */
    uint32_t next_slot;
    struct wire_version version;
    uint64_t length; /* of the payload so far */
    uint64_t checksum;
    uint64_t saved_ms;
    uint64_t publications; /* the directory's, when the last one was begun */
    uint64_t drains; /* likewise */
    uint64_t begun_ns; /* when that was; 0: never */
    uint64_t spoke_ns; /* when rm had last spoken then */
    uint8_t part[DIRECTORY_PART_BYTES_MAX];
};

/* Saves into state_dir from now on: soon after a change, and now and then for the age. -ENOMEM. */
NODISCARD int saver_new(struct loop *loop, struct directory *directory, const char *state_dir, uint16_t region,
                        struct saver **ret_saver);

/* Saves what has not been saved, at once. NULL is a no-op. */
void saver_free(struct saver *saver);

/* Writes the whole file at once. Negative errno, which has been logged: the old one, if any, stays. */
int saver_save(struct saver *saver);

/* Reads the file of state_dir into the empty directory: it is filled then, and old until rm speaks. now_ns is the loop's clock, now_ms
 * the wall's. ret_why says in a few words why it is not: -ENOENT there is none; -EINVAL corrupt; -EXDEV of another region; -ESTALE too
 * old; errors of open(2) and read(2); -ENOMEM. Blocks: for the start. */
NODISCARD int saved_load(struct directory *directory, const char *state_dir, uint16_t region, uint64_t now_ns, uint64_t now_ms,
                         struct conf_error *ret_why);

/* For what writes and reads it. FNV-1a-64, in as many pieces as one likes. */
#define SAVED_CHECKSUM_FIRST UINT64_C(0xcbf29ce484222325)
uint64_t saved_checksum(uint64_t checksum, const uint8_t *bytes, size_t length);
NODISCARD int saved_path(const char *state_dir, const char *name, char **ret_path);
#define SAVED_NAME "directory"
#define SAVED_MAGIC "USHRDIR1"
