#include "dispatcher/member_index.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "dispatcher/members.h"

#define CELLS_FIRST 64u

uint32_t member_index_guess(const struct member_index *index, uint32_t hash)
{
    if (!index->cells)
        return MEMBER_NONE;
    for (uint32_t at = hash & index->mask;; at = (at + 1) & index->mask)
        if (index->cells[at].tag == hash || index->cells[at].slot == MEMBER_NONE)
            return index->cells[at].slot;
}

/* The address's cell, or the empty one where it would go. */
static struct member_cell *cell_find(const struct member_index *index, const struct address *address, uint32_t hash)
{
    for (uint32_t at = hash & index->mask;; at = (at + 1) & index->mask) {
        struct member_cell *cell = &index->cells[at];
        if (cell->slot == MEMBER_NONE || (cell->tag == hash && address_equal(&index->members[cell->slot].address, address)))
            return cell;
    }
}

uint32_t member_index_find(const struct member_index *index, const struct address *address, uint32_t hash)
{
    return index->cells ? cell_find(index, address, hash)->slot : MEMBER_NONE;
}

static int index_grow(struct member_index *index)
{
    uint32_t capacity = index->cells ? (index->mask + 1) * 2 : CELLS_FIRST;
    struct member_cell *cells = malloc(capacity * sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    for (uint32_t i = 0; i < capacity; i++)
        cells[i].slot = MEMBER_NONE;
    for (uint32_t i = 0; index->cells && i <= index->mask; i++) {
        if (index->cells[i].slot == MEMBER_NONE)
            continue;
        uint32_t at = index->cells[i].tag & (capacity - 1);
        while (cells[at].slot != MEMBER_NONE)
            at = (at + 1) & (capacity - 1);
        cells[at] = index->cells[i];
    }
    free(index->cells);
    index->cells = cells;
    index->mask = capacity - 1;
    return 0;
}

int member_index_put(struct member_index *index, const struct address *address, uint32_t hash, uint32_t slot)
{
    if (!index->cells || (uint64_t)index->count * 4 >= ((uint64_t)index->mask + 1) * 3) {
        int error = index_grow(index);
        if (error < 0)
            return error;
    }
    struct member_cell *cell = cell_find(index, address, hash);
    index->count += cell->slot == MEMBER_NONE;
    *cell = (struct member_cell){.tag = hash, .slot = slot};
    return 0;
}

/* Moves later cells of the run back over the hole (Knuth 6.4, algorithm R). */
void member_index_remove(struct member_index *index, const struct address *address, uint32_t hash)
{
    struct member_cell *cell = cell_find(index, address, hash);
    CHECK(cell->slot != MEMBER_NONE);
    uint32_t hole = (uint32_t)(cell - index->cells);
    for (uint32_t at = (hole + 1) & index->mask; index->cells[at].slot != MEMBER_NONE; at = (at + 1) & index->mask) {
        uint32_t home = index->cells[at].tag & index->mask;
        if (((at - home) & index->mask) < ((at - hole) & index->mask))
            continue; /* its home lies behind the hole: it must stay */
        index->cells[hole] = index->cells[at];
        hole = at;
    }
    index->cells[hole].slot = MEMBER_NONE;
    index->count--;
}

void member_index_done(struct member_index *index)
{
    free(index->cells);
    index->cells = NULL;
}
