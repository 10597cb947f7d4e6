/* The configuration file: every mistake is named with its file and line. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/unit/core/conf/sample.h"

static const char *file_error(const char *content)
{
    const char *path = sample_file(content, strlen(content));
    const char *text = SAMPLE_ERROR("--config", path);
    unlink(path);
    cr_assert_eq(strncmp(text, path, strlen(path)), 0, "%s", text);
    return text + strlen(path);
}

static struct sample_options file_ok(const char *content)
{
    const char *path = sample_file(content, strlen(content));
    struct sample_options options = SAMPLE_OK("-c", path);
    unlink(path);
    return options;
}

Test(file, missing_one_is_named)
{
    cr_expect_str_eq(SAMPLE_ERROR("--config", "/nonexistent/usher.conf"),
                     "cannot read the configuration file /nonexistent/usher.conf: No such file or directory");
    cr_expect_str_eq(SAMPLE_ERROR("--config", "/tmp"), "cannot read the configuration file /tmp: Is a directory");
}

Test(file, mistakes_are_named_with_their_line)
{
    cr_expect_str_eq(file_error("# one\n\nlisten = nowhere\n"),
                     ":3: listen: \"nowhere\" is not an address; write ip:port or [ip6]:port (numbers, not names)");
    cr_expect_str_eq(file_error("heartbaet 1s"),
                     ":1: unknown option heartbaet (did you mean heartbeat?); a line is name = value, a comment begins with #");
    cr_expect_str_eq(file_error("heartbaet = 1s"), ":1: unknown option heartbaet (did you mean heartbeat?)");
    cr_expect_str_eq(file_error("no-jobs\nheartbeat 1s # soon\n"), ":2: no = between name and value; write heartbeat = 1s");
    cr_expect_str_eq(file_error("no-jobs yes\n"), ":1: no = between name and value; write no-jobs = yes");
    cr_expect_str_eq(file_error("some words\n"), ":1: unknown option some; a line is name = value, a comment begins with #");
    cr_expect_str_eq(file_error("threads =\n"), ":1: threads: is empty; give it a value or leave it out");
    cr_expect_str_eq(file_error("listen =\n"), ":1: listen: is empty; give it a value or leave it out");
    cr_expect_str_eq(file_error("threads = 2\nthreads = 3\n"),
                     ":2: threads: is given twice in this file; take one of the lines out");
    cr_expect_str_eq(file_error("threads\n"), ":1: threads needs a value: threads = N");
    cr_expect_str_eq(file_error("config = other\n"), ":1: config belongs on the command line; take this line out");
    cr_expect_str_eq(file_error("state-dir = \"/tmp\n"), ":1: state-dir: a double quote is not closed, or something follows it");
    cr_expect_str_eq(file_error("state-dir = \"/tmp\" x\n# \"\n"
                                "policy = best"),
                     ":3: policy: \"best\" is not known; choose one of random, two-choices");
    cr_expect_str_eq(file_error("= 5\n"), ":1: no name before =; write name = value");
    cr_expect_str_eq(file_error("--threads 5\n"),
                     ":1: unknown option --threads (did you mean threads?); a line is name = value, a comment begins with #");
}

/* Opening one waits for a writer, who may never come. */
Test(file, fifo_is_refused)
{
    char path[] = "/tmp/usher-fifo-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    const char *text = SAMPLE_ERROR("--config", path);
    unlink(path);
    cr_expect_not_null(strstr(text, "it is no regular file"), "%s", text);
}

Test(file, zero_bytes_are_refused)
{
    const char *path = sample_file("threads = 2\nthr\0ads", 19);
    const char *text = SAMPLE_ERROR("--config", path);
    unlink(path);
    cr_expect_str_eq(text + strlen(path), ":2: a zero byte; this is not a text file");
}

Test(file, too_large_one_is_refused)
{
    char path[64];
    snprintf(path, sizeof(path), "%s", sample_file("", 0));
    cr_assert_eq(truncate(path, 2 << 20), 0);
    const char *text = SAMPLE_ERROR("--config", path);
    unlink(path);
    cr_expect_not_null(strstr(text, "File too large"), "%s", text);
}

Test(file, values_arrive_in_all_spellings)
{
    struct sample_options options = file_ok("threads=2\n  heartbeat =  250ms  # comment\n\tsleep-factor = 2 #x\r\nno-jobs\n"
                                            "state-dir = \"/a # b\"\nredis=unix:/a#b\nservices = spin\nservices = echo\n#end");
    cr_expect_eq(options.threads, 2);
    cr_expect_eq(options.heartbeat_ns, 250 * NS_PER_MS);
    cr_expect_eq(options.factor, 2.0);
    cr_expect(options.no_jobs);
    cr_expect_str_eq(options.state_dir, "/a # b");
    cr_expect_str_eq(options.redis, "unix:/a#b");
    cr_expect_eq(options.services.count, 2);
    conf_done(&sample_program, &options);
}

Test(file, command_line_wins_wherever_it_stands)
{
    const char *path = sample_file("threads = 2\nno-jobs\nservices = spin\n", 36);
    struct sample_options options = SAMPLE_OK("--threads=3", "--services=echo", "--config", path, "--no-jobs=no");
    unlink(path);
    cr_expect_eq(options.threads, 3);
    cr_expect_not(options.no_jobs);
    cr_expect_eq(options.services.count, 1);
    cr_expect_str_eq(options.services.item[0], "echo");
    conf_done(&sample_program, &options);
}

Test(file, required_options_may_stand_in_it)
{
    const char *path = sample_file("rm = 127.0.0.1:9\n", 17);
    struct sample_options options;
    struct conf_error error;
    cr_assert_eq(conf_parse(&sample_program, 3, SAMPLE_ARGV("sample", "--config", path), &options, NULL, &error), 0);
    unlink(path);
    cr_expect_eq(options.rm.item[0].port, 9);
    conf_done(&sample_program, &options);
}
