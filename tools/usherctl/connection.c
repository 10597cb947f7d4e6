#include "tools/usherctl/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"

#define ANSWER_BYTES_MAX (512u << 20) /* 800,000 nodes */
#define READ_BYTES 16384

/* A connected descriptor, or a negative errno. Unix sockets connect at once or not at all. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

bool connection_is_alive(const char *path)
{
    int fd = connect_to(path);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || fd == -EAGAIN || fd == -EACCES;
}

static int fail_connect(const char *path, int error, struct conf_error *ret_error)
{
    struct stat status;
    if (error == -ECONNREFUSED && stat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        conf_error_set(ret_error, "%s is no socket: give a daemon's admin socket with -s", path);
        return EXIT_CODE_USAGE;
    }
    switch (error) {
    case -ENOENT:
        conf_error_set(ret_error, "no admin socket at %s: is the daemon running, with this --admin or --state-dir?", path);
        return EXIT_CODE_UNREACHABLE;
    case -ECONNREFUSED:
        conf_error_set(ret_error, "nobody answers at %s: its daemon has ended; start it again", path);
        return EXIT_CODE_UNREACHABLE;
    case -EAGAIN:
        conf_error_set(ret_error, "the daemon at %s takes no more connections: it hangs or is overloaded", path);
        return EXIT_CODE_UNREACHABLE;
    case -EACCES:
        conf_error_set(ret_error, "no permission to use %s: become root or the daemon's user (sudo)", path);
        return EXIT_CODE_FAILED;
    default:
        conf_error_set(ret_error, "cannot connect to %.300s: %s; give a daemon's admin socket with -s", path, error_text(error));
        return EXIT_CODE_FAILED;
    }
}

/* Waits until fd is ready. -ETIMEDOUT. */
static int wait_ready(int fd, short events, uint64_t deadline_ns)
{
    struct pollfd watch = {.fd = fd, .events = events};
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / NS_PER_MS + 1 : 0;
    int ready = poll(&watch, 1, (int)left_ms);
    if (ready < 0)
        return errno == EINTR ? 0 : -errno;
    return ready == 0 ? -ETIMEDOUT : 0;
}

static int send_all(int fd, const char *bytes, size_t length, uint64_t deadline_ns)
{
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
            continue;
        }
        int error = wait_ready(fd, POLLOUT, deadline_ns);
        if (error < 0)
            return error;
    }
    return 0;
}

/* The answer's line without its end. A long one is made while it is read: what counts is how long nothing comes. -ECONNRESET: closed
 * before. */
static int receive_line(int fd, struct buffer *line, uint64_t timeout_ns)
{
    while (line->length < ANSWER_BYTES_MAX) {
        int error = buffer_reserve(line, READ_BYTES);
        if (error == 0)
            error = wait_ready(fd, POLLIN, clock_monotonic_ns() + timeout_ns);
        if (error < 0)
            return error;
        ssize_t got = recv(fd, line->bytes + line->length, READ_BYTES, 0);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (got == 0)
            return -ECONNRESET;
        if (got < 0)
            continue;
        const uint8_t *end = memchr(line->bytes + line->length, '\n', (size_t)got);
        line->length = end ? (size_t)(end - line->bytes) : line->length + (size_t)got;
        if (end)
            return 0;
    }
    return -EMSGSIZE;
}

static char *encode_words(const char *const *words, size_t word_count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < word_count; i++)
        if (json_array_append_new(array, json_string(words[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    char *text = json_dumps(array, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(array);
    return text;
}

static int exchange(int fd, const char *request, uint64_t timeout_ns, struct buffer *line)
{
    uint64_t deadline_ns = clock_monotonic_ns() + timeout_ns;
    int error = send_all(fd, request, strlen(request), deadline_ns);
    if (error == 0)
        error = send_all(fd, "\n", 1, deadline_ns);
    return error ? error : receive_line(fd, line, timeout_ns);
}

static int fail_exchange(const char *path, int error, uint64_t timeout_ns, const struct buffer *line,
                         struct conf_error *ret_error)
{
    char time[DURATION_TEXT_BYTES];
    if (error == -ETIMEDOUT)
        conf_error_set(ret_error, "no answer from %s within %s: the daemon hangs or is overloaded; try a longer --timeout", path,
                       duration_format(timeout_ns, time));
    else if (error == -EMSGSIZE)
        conf_error_set(ret_error, "the answer of %s is longer than %u MiB; ask for less, such as the nodes of one service", path,
                       ANSWER_BYTES_MAX >> 20);
    else if (error == -ECONNRESET || error == -EPIPE)
        conf_error_set(ret_error, "the daemon at %s closed the connection %s answer; is it just ending?", path,
                       line->length > 0 ? "within its" : "without an");
    else
        conf_error_set(ret_error, "talking to %s failed: %s", path, error_text(error));
    return EXIT_CODE_UNREACHABLE;
}

int connection_call(const char *path, const char *const *words, size_t word_count, uint64_t timeout_ns, json_t **ret_answer,
                    struct conf_error *ret_error)
{
    struct buffer line = {0};
    char *request = encode_words(words, word_count);
    if (!request) {
        conf_error_set(ret_error, "a word is not UTF-8 text; write it so");
        return EXIT_CODE_FAILED;
    }
    int fd = connect_to(path);
    if (fd < 0) {
        free(request);
        return fail_connect(path, fd, ret_error);
    }
    int error = exchange(fd, request, timeout_ns, &line);
    int code = error < 0 ? fail_exchange(path, error, timeout_ns, &line, ret_error) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK) {
        json_t *answer = json_loadb((const char *)line.bytes, line.length, 0, NULL);
        if (json_is_object(answer)) {
            *ret_answer = answer;
        } else {
            json_decref(answer);
            conf_error_set(ret_error, "what answers at %s is no daemon of Usher; give a daemon's admin socket with -s", path);
            code = EXIT_CODE_FAILED;
        }
    }
    buffer_done(&line);
    free(request);
    close(fd);
    return code;
}
