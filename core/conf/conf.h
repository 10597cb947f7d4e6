/* conf - options declared once. A table (an .def file of OPTION rows) becomes a struct, the parser of the command line and of
 * the configuration file, --help, the man page and docs/OPTIONS.md.
 *
 *     OPTION(kind, field, name, value, default, allowed, flags, help)         see core/daemon/options.def for an example
 *
 *     struct worker_options {
 *     #define OPTION(kind, field, ...) CONF_TYPE_##kind field;
 *     #include "worker/options.def"
 *     #undef OPTION
 *     };
 *     const struct conf_option worker_option_rows[] = {
 *     #define OPTION(...) CONF_ROW(struct worker_options, __VA_ARGS__)
 *     #include "worker/options.def"
 *     #undef OPTION
 *     };
 *
 * A program composes several tables: each describes one member of the program's options struct.
 *
 * Thread: one; the struct belongs to the thread that parsed it. Memory: texts and lists in the struct are on the heap and
 * belong to it; conf_done frees them. Reads the configuration file, hence may block: for start and reload only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/buffer.h"
#include "core/base/duration.h"
#include "core/base/macros.h"

struct conf_texts {
    char **item;
    uint32_t count;
};

#define CONF_ENDPOINTS_MAX 64

struct conf_addresses {
    struct address *item;
    uint32_t count;
    uint64_t http; /* of endpoints: bit i: item i was given as http://… */
};

struct conf_dispatcher {
    struct address address;
    uint16_t region; /* 0: not said */
};

struct conf_dispatchers {
    struct conf_dispatcher *item;
    uint32_t count;
};

#define CONF_WEIGHTS_MAX 8
#define CONF_LIST_ITEMS_MAX 256

struct conf_weights {
    float value[CONF_WEIGHTS_MAX]; /* in the order of the names in the row's `allowed` */
};

/* What a row's `allowed` says, by kind: nothing (""), a range "1..65535" or "10ms..60s", or alternatives "auto|uring|epoll". An
 * alternative that has a colon ("tcp:HOST:PORT") allows everything that begins with what stands before it. */
enum conf_kind {
    CONF_FLAG, /* --no-jobs, --no-jobs=no; in a file: no-jobs, no-jobs = yes */
    CONF_TEXT, /* alternatives are checked, the text is kept; "" is NULL */
    CONF_CHOICE, /* index into the alternatives: matches an enum */
    CONF_U32, /* range */
    CONF_U64, /* range */
    CONF_FLOAT, /* range */
    CONF_DURATION, /* range; nanoseconds */
    CONF_DURATION_RANGE, /* 1s..5s; the range holds for both ends */
    CONF_ADDRESS, /* ip:port; "" is ADDRESS_NONE */
    CONF_IP, /* ip; "" is ADDRESS_NONE */
    CONF_ADDRESSES, /* ip:port[,…], repeatable */
    CONF_ENDPOINTS, /* [http://]ip:port[,…], repeatable */
    CONF_DISPATCHERS, /* [REGION@]ip:port[,…], repeatable */
    CONF_LIST, /* a,b,c, repeatable; alternatives hold for each; an item exec:… reaches to the end of the value */
    CONF_TEXTS, /* one text, repeatable */
    CONF_WEIGHTS, /* name=number[,…], the names in `allowed`; a name left out keeps its default */
    CONF_FILE, /* the configuration file itself; one row of a program at most */
};

#define CONF_TYPE_FLAG bool
#define CONF_TYPE_TEXT char *
#define CONF_TYPE_CHOICE uint32_t
#define CONF_TYPE_U32 uint32_t
#define CONF_TYPE_U64 uint64_t
#define CONF_TYPE_FLOAT double
#define CONF_TYPE_DURATION uint64_t
#define CONF_TYPE_DURATION_RANGE struct duration_range
#define CONF_TYPE_ADDRESS struct address
#define CONF_TYPE_IP struct address
#define CONF_TYPE_ADDRESSES struct conf_addresses
#define CONF_TYPE_ENDPOINTS struct conf_addresses
#define CONF_TYPE_DISPATCHERS struct conf_dispatchers
#define CONF_TYPE_LIST struct conf_texts
#define CONF_TYPE_TEXTS struct conf_texts
#define CONF_TYPE_WEIGHTS struct conf_weights
#define CONF_TYPE_FILE char *

enum conf_flags {
    CONF_REQUIRED = 1, /* must be given */
    CONF_RUNTIME = 2, /* can be changed while the program runs: usherctl set, SIGHUP */
    CONF_COMMAND_LINE = 4, /* not in a configuration file */
    CONF_FILLED = 8, /* may be left out, but is not given as "" */
};
#define CONF_LETTER(letter) ((unsigned)(letter) << 8) /* also in flags: -c besides --config */

struct conf_option {
    const char *name; /* without the dashes */
    enum conf_kind kind;
    unsigned flags;
    const char *value_name; /* "ADDR" in --listen ADDR; "" for flags */
    const char *default_text;
    const char *allowed;
    const char *help; /* a sentence or more, for --help and the man page */
    size_t offset; /* in the table's struct */
};

#define CONF_ROW(struct_type, kind_, field_, name_, value_name_, default_text_, allowed_, flags_, help_)                         \
    {                                                                                                                            \
        .name = (name_),                                                                                                         \
        .kind = CONF_##kind_,                                                                                                    \
        .flags = (flags_),                                                                                                       \
        .value_name = (value_name_),                                                                                             \
        .default_text = (default_text_),                                                                                         \
        .allowed = (allowed_),                                                                                                   \
        .help = (help_),                                                                                                         \
        .offset = offsetof(struct_type, field_),                                                                                 \
    },

struct conf_table {
    const char *title; /* heading in --help, such as "Node options" */
    const struct conf_option *rows;
    size_t row_count;
    size_t offset; /* of the table's struct in the program's options struct */
};

struct conf_program {
    const char *name; /* "usher-worker"; a command of a suite: "usher ask" */
    const char *summary; /* what it does, in a line without a full stop: "runs the jobs that clients send it" */
    const char *description; /* paragraphs for --help and the man page, separated by empty lines; may be "" */
    const char *words; /* what stands beside options, such as "COMMAND [ARGUMENT…]"; NULL: nothing may */
    int man_section; /* 8 daemons and operators' tools, 1 others */
    size_t options_bytes;
    const struct conf_table *tables;
    size_t table_count;
};

#define CONF_WORDS_MAX 64

/* What stood on the command line beside options; points into argv. */
struct conf_words {
    const char *item[CONF_WORDS_MAX];
    size_t count;
};

struct conf_error {
    char text[640]; /* one line that says what to do */
};

void conf_error_set(struct conf_error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* conf_parse has written what was asked for (--help, --version, the hidden --dump-docs=man|markdown) to stdout: exit with what
 * conf_finish_output returns. */
#define CONF_PRINTED 1

/* Fills `options` (options_bytes of any content) from the defaults, the configuration file and the command line; later ones
 * win. argv[0] is skipped; ret_words may be NULL when program->words is. Returns 0, CONF_PRINTED, -EINVAL with ret_error set,
 * or -ENOMEM likewise. Only after 0 there is something to free with conf_done. Lists grow when they are given again; of another option
 * the last on the command line counts, and a second line in the file is refused. */
NODISCARD int conf_parse(const struct conf_program *program, int argc, char *const *argv, void *options,
                         struct conf_words *ret_words, struct conf_error *ret_error);

void conf_done(const struct conf_program *program, void *options);

/* Changes one option while the program runs; "name" is the row's. -EINVAL (unknown, not CONF_RUNTIME, value wrong) with
 * ret_error. */
NODISCARD int conf_set(const struct conf_program *program, void *options, const char *name, const char *value,
                       struct conf_error *ret_error);

/* Called for each option in which two sets of options differ. */
typedef void conf_on_difference(void *context, const struct conf_option *option);

/* Moves those CONF_RUNTIME options of `fresh` that differ into `options` and calls on_change for each; calls on_refused for
 * those that differ and need a restart. `fresh` stays valid and is still to be freed. */
void conf_apply(const struct conf_program *program, void *options, void *fresh, conf_on_difference *on_change,
                conf_on_difference *on_refused, void *context);

/* The text of --help, appended. -ENOMEM. */
NODISCARD int conf_help(const struct conf_program *program, struct buffer *text);

/* The row of that name, or NULL. ret_table may be NULL. */
const struct conf_option *conf_find(const struct conf_program *program, const char *name, const struct conf_table **ret_table);

/* The name closest to a mistyped one, or NULL when nothing is near. */
const char *conf_closest(const char *typed, const char *const *names, size_t name_count);

/* Writes "usher-worker: TEXT" to stderr; returns EXIT_CODE_USAGE, so that a main can return it. */
int conf_fail(const char *program_name, const struct conf_error *error);

/* Whether --json is among the arguments: for mistakes that are found before the options are known. */
bool conf_wants_json(int argc, char *const *argv);

/* First in main: a standard stream that was closed (`>&-`) becomes one that takes no bytes (stderr: that swallows them), so that no
 * socket gets its number and what is meant for people. */
void conf_open_streams(void);

/* For much at once, on the program's only thread: conf_finish_output knows why it failed. */
void conf_write_output(const void *bytes, size_t length);

/* Last in main: EXIT_CODE_OK when everything printed has been written. Else says on stderr why not and returns EXIT_CODE_FAILED. */
NODISCARD int conf_finish_output(const char *program_name);
