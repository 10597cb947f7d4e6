#include "core/redis/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/io/poll.h"
#include "core/io/timer.h"

#define PROGRAM "redis-server"
#define LOG_NAME "redis.log"
#define LAST_WORDS_BYTES 256
#define ENDED_REASON_BYTES (LAST_WORDS_BYTES + PATH_MAX + 32)
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define RETRY_NS_MIN (100 * NS_PER_MS)
#define RETRY_NS_MAX (10 * NS_PER_S)

struct redis_server {
    struct redis_server_config config;
    struct redis_target target;
    char program[PATH_MAX];
    char folder[PATH_MAX];
    pid_t pid; /* 0: not running */
    bool child; /* started by us, so that it must be reaped; else taken over */
    int pidfd;
    struct poll_watch watch;
    struct timer retry_timer;
    struct timer started_timer; /* tells of the start from the loop, not from within redis_server_new */
    struct random_state random;
    uint64_t retry_ns;
    uint64_t started_ns;
};

static int fail(const struct redis_server_config *config, int error, const char *text)
{
    if (config->reason)
        snprintf(config->reason, REDIS_SERVER_REASON_BYTES, "%s", text);
    return error;
}

/* Looks the program up before forking, so that its absence is told clearly and at once. */
static int program_find(char ret_path[static PATH_MAX])
{
    const char *folders = getenv("PATH");
    if (!folders || folders[0] == '\0')
        folders = PATH_DEFAULT;
    while (*folders) {
        size_t length = strcspn(folders, ":");
        int written = snprintf(ret_path, PATH_MAX, "%.*s/" PROGRAM, (int)length, folders);
        if (length > 0 && written > 0 && written < PATH_MAX && access(ret_path, X_OK) == 0)
            return 0;
        folders += length + (folders[length] == ':' ? 1 : 0);
    }
    return -ENOENT;
}

/* The process that listens on the socket, if there is one. */
static pid_t listener_find(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {.pid = 0};
    socklen_t length = sizeof(peer);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        peer.pid = 0;
    close(fd);
    return peer.pid;
}

/* In the child, up to exec: only async-signal-safe calls. Returns only when exec failed. */
static void child_exec(const struct redis_server *server, char *const *arguments, int parent_pid, int status_fd)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO); /* its log goes to a file of its own */
        dup2(null, STDERR_FILENO);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C at a terminal is for the owner, which stops us after its last write */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC); /* also what the owner was started with and does not know */
    if (getppid() == parent_pid) /* else the owner died before the line above */
        execv(server->program, arguments);
    int error = errno;
    if (write(status_fd, &error, sizeof(error)) < 0)
        _exit(1);
    _exit(1);
}

/* 0 once exec has succeeded; else its error. */
static int exec_wait(int status_fd)
{
    int error = 0;
    ssize_t length;
    do
        length = read(status_fd, &error, sizeof(error));
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)sizeof(error) ? -error : 0;
}

static int child_start(struct redis_server *server, pid_t *ret_pid)
{
    char program[] = PROGRAM;
    char log[] = LOG_NAME;
    /* Nothing is read from a configuration file; every option that matters is here. */
    char *arguments[] = {
        program,
        (char[]){"--port"},
        (char[]){"0"},
        (char[]){"--unixsocket"},
        server->target.path,
        (char[]){"--unixsocketperm"},
        (char[]){"700"},
        (char[]){"--dir"},
        server->folder,
        (char[]){"--daemonize"},
        (char[]){"no"},
        (char[]){"--databases"},
        (char[]){"1"},
        (char[]){"--maxclients"},
        (char[]){"256"},
        (char[]){"--maxmemory"},
        (char[]){"0"},
        (char[]){"--save"},
        (char[]){""},
        (char[]){"--appendonly"},
        (char[]){"yes"},
        (char[]){"--appendfsync"},
        (char[]){"everysec"},
        (char[]){
            "--rdbcompression"}, /* of the log's beginning, which is written anew as the log grows: a tenth of all CPU else */
        (char[]){"no"},
        (char[]){"--rdbchecksum"}, /* of the same, where the rest of the log has none either: a twentieth of all CPU */
        (char[]){"no"},
        (char[]){"--loglevel"},
        (char[]){"warning"},
        (char[]){"--logfile"},
        log,
        NULL,
    };
    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0)
        return -errno;
    pid_t parent_pid = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_exec(server, arguments, parent_pid, status[1]);
    int error = pid < 0 ? -errno : 0;
    close(status[1]);
    if (error == 0)
        error = exec_wait(status[0]);
    close(status[0]);
    if (error < 0 && pid > 0)
        waitpid(pid, NULL, 0);
    if (error == 0)
        *ret_pid = pid;
    return error;
}

static void process_forget(struct redis_server *server)
{
    poll_stop(&server->watch);
    if (server->child)
        waitpid(server->pid, NULL, WNOHANG);
    if (server->pidfd >= 0)
        close(server->pidfd);
    server->pidfd = -1;
    server->pid = 0;
}

static void retry_schedule(struct redis_server *server)
{
    uint64_t half = server->retry_ns / 2;
    uint64_t wait_ns = half + (uint64_t)(random_unit(&server->random) * (double)half);
    timer_start(server->config.loop, &server->retry_timer, loop_now_ns(server->config.loop) + wait_ns);
    server->retry_ns = server->retry_ns * 2 < RETRY_NS_MAX ? server->retry_ns * 2 : RETRY_NS_MAX;
}

/* The last line of its log, cut at the front when it is long; "" when there is none. */
static void last_words_read(const char *path, char ret_line[static LAST_WORDS_BYTES])
{
    ret_line[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > LAST_WORDS_BYTES - 1 ? size - (LAST_WORDS_BYTES - 1) : 0;
    ssize_t length = pread(fd, ret_line, LAST_WORDS_BYTES - 1, from);
    close(fd);
    while (length > 0 && ret_line[length - 1] == '\n')
        length--;
    ret_line[length > 0 ? length : 0] = '\0';
    const char *newline = strrchr(ret_line, '\n');
    if (newline)
        memmove(ret_line, newline + 1, strlen(newline + 1) + 1);
}

static void reason_print(const struct redis_server *server, char reason[static ENDED_REASON_BYTES])
{
    char path[PATH_MAX + sizeof("/" LOG_NAME)], words[LAST_WORDS_BYTES];
    snprintf(path, sizeof(path), "%s/" LOG_NAME, server->folder);
    last_words_read(path, words);
    snprintf(reason, ENDED_REASON_BYTES, "%s%sits log is %s", words, words[0] ? "; " : "", path);
}

static void on_ended(void *ctx, struct poll_watch *watch, uint32_t ready)
{
    struct redis_server *server = ctx;
    char reason[ENDED_REASON_BYTES];
    (void)watch;
    (void)ready;
    /* One that ran well for a while is started again at once, one that keeps ending ever later. */
    if (loop_now_ns(server->config.loop) - server->started_ns > RETRY_NS_MAX)
        server->retry_ns = RETRY_NS_MIN;
    process_forget(server);
    retry_schedule(server);
    reason_print(server, reason);
    server->config.on_ended(server->config.ctx, reason);
}

/* Watches a process by descriptor: a number could have been given to another process by the time we look. */
static int process_watch(struct redis_server *server, pid_t pid, bool child)
{
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return -errno;
    int error = poll_start(server->config.loop, &server->watch, pidfd, POLLIN, on_ended, server);
    if (error < 0) {
        close(pidfd);
        return error;
    }
    server->pid = pid;
    server->child = child;
    server->pidfd = pidfd;
    server->started_ns = loop_now_ns(server->config.loop);
    timer_start(server->config.loop, &server->started_timer, 0);
    return 0;
}

static int server_start(struct redis_server *server)
{
    pid_t pid = listener_find(server->target.path);
    if (pid > 0)
        return process_watch(server, pid, false);
    int error = child_start(server, &pid);
    if (error < 0)
        return error;
    error = process_watch(server, pid, true);
    if (error < 0) {
        kill(pid, SIGKILL); /* our own child, not yet reaped: the number is still its */
        waitpid(pid, NULL, 0);
    }
    return error;
}

static void on_retry(void *ctx, struct timer *timer)
{
    struct redis_server *server = ctx;
    (void)timer;
    if (server_start(server) < 0)
        retry_schedule(server);
}

static void on_started(void *ctx, struct timer *timer)
{
    struct redis_server *server = ctx;
    (void)timer;
    server->config.on_started(server->config.ctx);
}

int redis_server_new(const struct redis_server_config *config, struct redis_server **ret_server)
{
    char text[REDIS_SERVER_REASON_BYTES];
    struct redis_server *server = calloc(1, sizeof(*server));
    if (!server)
        return fail(config, -ENOMEM, "out of memory");
    server->config = *config;
    server->pidfd = -1;
    server->retry_ns = RETRY_NS_MIN;
    server->target.kind = REDIS_TARGET_UNIX;
    random_init(&server->random, config->seed);
    timer_init(&server->retry_timer, on_retry, server);
    timer_init(&server->started_timer, on_started, server);
    snprintf(server->folder, sizeof(server->folder), "%s", config->folder);
    int length = snprintf(server->target.path, sizeof(server->target.path), "%s/redis.sock", config->folder);
    int error = 0;
    if (length >= (int)sizeof(server->target.path))
        error =
            fail(config, -ENAMETOOLONG, "the path of the state folder is too long for a socket in it: use a shorter --state-dir");
    else if (program_find(server->program) < 0)
        error =
            fail(config, -ENOENT,
                 "redis-server not found: install it (apt-get install redis-server) or use --redis unix:PATH or tcp:HOST:PORT");
    if (error == 0) {
        error = server_start(server);
        snprintf(text, sizeof(text), "cannot start redis-server: %s", strerror(-error));
        if (error < 0)
            fail(config, error, text);
    }
    if (error < 0) {
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

const struct redis_target *redis_server_target(const struct redis_server *server)
{
    return &server->target;
}

pid_t redis_server_pid(const struct redis_server *server)
{
    return server->pid;
}

/* True: it has ended. */
static bool exit_wait(const struct redis_server *server, uint64_t limit_ns)
{
    struct pollfd exited = {.fd = server->pidfd, .events = POLLIN};
    return poll(&exited, 1, (int)(limit_ns / NS_PER_MS)) > 0;
}

void redis_server_free(struct redis_server *server, uint64_t limit_ns)
{
    if (!server)
        return;
    timer_stop(&server->retry_timer);
    timer_stop(&server->started_timer);
    if (server->pid > 0) {
        poll_stop(&server->watch);
        pidfd_send_signal(server->pidfd, SIGTERM, NULL, 0);
        if (!exit_wait(server, limit_ns)) {
            pidfd_send_signal(server->pidfd, SIGKILL, NULL, 0);
            (void)exit_wait(server, NS_PER_S);
        }
        process_forget(server);
    }
    free(server);
}
