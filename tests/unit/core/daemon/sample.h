/* sample - a daemon that does nothing, in a process of its own, and the means to talk to it. Its hooks say on stderr that they
 * were called; the test reads that. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct sample {
    pid_t pid;
    int stderr_fd; /* its log */
    char folder[64]; /* its --state-dir */
    char log[65536]; /* what sample_wait_for has read so far */
    size_t log_length;
};

/* Starts `sample --state-dir FOLDER ARGUMENTS…`; a NULL folder makes one. The arguments end in NULL. */
void sample_start(struct sample *sample, const char *folder, const char *const *arguments);
#define SAMPLE_START(sample, ...) sample_start((sample), NULL, (const char *const[]){__VA_ARGS__, NULL})

/* Reads the log until it contains the text; false when the process ended before. */
bool sample_wait_for(struct sample *sample, const char *text);

/* Reads the log to its end, and the exit code. */
int sample_end(struct sample *sample);

/* For fini: nothing runs and nothing is left in the file system afterwards. */
void sample_remove(struct sample *sample);

/* The answer to one admin command, or NULL. The path is found in the log. */
json_t *sample_ask(struct sample *sample, const char *word, const char *second, const char *third);

/* The sample without a drain hook. */
extern bool sample_drains;
