/* regions - the regions file (requirement R8): which dispatchers each region has, and which clients belong to it. The same file
 * in every region.
 *
 *     region 1 10.1.0.1:7400 10.1.0.2:7400    # a region and its dispatchers
 *     client 10.1.0.0/16 1                    # these clients belong to region 1
 *
 * Pure: text in, table out. Thread: any. Memory: the table is the caller's. regions_read reads a file, hence may block. */
#pragma once

#include "core/base/region_table.h"
#include "core/conf/conf.h"

#define REGIONS_FILE_BYTES_MAX (4u << 20)

/* `name` is for errors: "name:line: text". -EINVAL and -ENOMEM with ret_error set. The version depends on nothing but what the file
 * says: comments and spaces do not count, nor does the order of lines. */
NODISCARD int regions_parse(const char *name, const char *text, size_t length, struct region_table **ret_table,
                            struct conf_error *ret_error);

/* The same of a file; also what open(2) and read(2) say, and -EFBIG, with ret_error set. */
NODISCARD int regions_read(const char *path, struct region_table **ret_table, struct conf_error *ret_error);
