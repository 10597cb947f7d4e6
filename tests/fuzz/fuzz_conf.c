/* Any bytes as a configuration file: either every option has a value it allows, or one line says what is wrong where. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

struct fuzz_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tests/unit/core/conf/sample.def"
#undef OPTION
};

static const struct conf_option rows[] = {
#define OPTION(...) CONF_ROW(struct fuzz_options, __VA_ARGS__)
#include "tests/unit/core/conf/sample.def"
#undef OPTION
};

static const struct conf_table table = {.title = "Options", .rows = rows, .row_count = ARRAY_COUNT(rows)};

static const struct conf_program program = {
    .name = "fuzz",
    .summary = "",
    .description = "",
    .options_bytes = sizeof(struct fuzz_options),
    .tables = &table,
    .table_count = 1,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    char name[] = "fuzz", config[] = "--config", rm[] = "--rm=127.0.0.1:1", path[64];
    char *argv[] = {name, config, path, rm, NULL};
    struct fuzz_options options;
    struct conf_error error = {.text = ""};
    int fd = memfd_create("conf", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, data_size) == (ssize_t)data_size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (conf_parse(&program, 4, argv, &options, NULL, &error) == 0) {
        CHECK(options.threads >= 1 && options.threads <= 64 && options.rm.count >= 1);
        conf_done(&program, &options);
    } else {
        CHECK(strncmp(error.text, path, strlen(path)) == 0 && strlen(error.text) + 1 < sizeof(error.text));
    }
    close(fd);
    return 0;
}
