/* The admin socket on a real loop: long lines, garbage, clients that drip, leave or do not read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/daemon/admin.h"
#include "core/io/loop.h"

static struct loop *loop;
static struct admin_server *server;
static char folder[] = "/tmp/usher-admin-XXXXXX";
static char path[108];
static char answer[1 << 20];
static size_t handled;
static struct admin_later *later;

static int run_large(void *state, struct admin_call *call)
{
    static char large[100001];
    (void)state;
    handled++;
    memset(large, 'x', sizeof(large) - 1);
    return json_object_set_new(call->answer, "large", json_string(large)) < 0 ? -ENOMEM : 0;
}

static int run_echo(void *state, struct admin_call *call)
{
    (void)state;
    handled++;
    return json_object_set_new(call->answer, "word", json_string(call->words[0])) < 0 ? -ENOMEM : 0;
}

static int run_wait(void *state, struct admin_call *call)
{
    (void)state;
    later = admin_defer(call);
    cr_assert_not_null(later);
    return ADMIN_LATER;
}

static int pieces_made;
static int pieces_freed;

/* {"ok":true,"rows":[0,1,2]}; after that there is no end to it. */
static int piece_next(void *ctx, struct buffer *text)
{
    static const char padding[40000] = "";
    (void)ctx;
    bool first = pieces_made++ == 0;
    if (pieces_made == 3)
        return buffer_print(text, ",2]}\n");
    if (pieces_made > 3)
        return buffer_append(text, padding, sizeof(padding)) < 0 ? -ENOMEM : PIECES_MORE;
    return buffer_print(text, first ? "{\"ok\":true,\"rows\":[0" : ",1") < 0 ? -ENOMEM : PIECES_MORE;
}

static void pieces_free(void *ctx)
{
    (void)ctx;
    pieces_freed++;
}

static int run_rows(void *state, struct admin_call *call)
{
    (void)state;
    call->pieces = (struct pieces){.next = piece_next, .free = pieces_free};
    return ADMIN_PIECES;
}

static const struct admin_command commands[] = {
    {"rows", "", 0, 0, "says much by and by", run_rows},
    {"wait", "", 0, 0, "answers later", run_wait},
    {"echo", "WORD", 1, 1, "says it again", run_echo},
    {"large", "", 0, 0, "says much", run_large},
};
static void *const nothing = NULL;
static const struct admin_table tables[] = {{commands, ARRAY_COUNT(commands), &nothing}};

static void setup(void)
{
    struct loop_config config;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.sock", folder);
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_eq(admin_server_new(&(struct admin_config){loop, path, tables, 1}, &server), 0);
}

static void teardown(void)
{
    admin_server_free(server);
    cr_expect_neq(access(path, F_OK), 0, "the socket is gone");
    rmdir(folder);
    loop_free(loop);
}

TestSuite(admin_server, .init = setup, .fini = teardown);

static void run(void)
{
    for (int i = 0; i < 8; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
}

/* Pieces are made when others have had their time, which is real time. */
static void run_pieces(void)
{
    for (uint64_t end_ns = clock_monotonic_ns() + 30 * NS_PER_MS; clock_monotonic_ns() < end_ns;)
        run();
}

static int client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    run();
    return fd;
}

static void say(int fd, const char *bytes, size_t length)
{
    cr_assert_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
    run();
}

/* What has come so far; *ret_closed: and no more will. */
static const char *hear(int fd, bool *ret_closed)
{
    size_t length = 0;
    *ret_closed = false;
    for (struct pollfd watch = {.fd = fd, .events = POLLIN}; poll(&watch, 1, 20) > 0;) {
        ssize_t got = recv(fd, answer + length, sizeof(answer) - 1 - length, MSG_DONTWAIT);
        if (got <= 0) {
            *ret_closed = true;
            break;
        }
        length += (size_t)got;
        run();
    }
    answer[length] = '\0';
    return answer;
}

Test(admin_server, living_socket_is_not_taken_over)
{
    struct admin_server *second = NULL;
    cr_expect_eq(admin_server_new(&(struct admin_config){loop, path, tables, 1}, &second), -EADDRINUSE);
    cr_expect_null(second);
}

Test(admin_server, too_long_path_is_refused)
{
    struct admin_server *second = NULL;
    char long_path[200];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    cr_expect_eq(admin_server_new(&(struct admin_config){loop, long_path, tables, 1}, &second), -ENAMETOOLONG);
}

Test(admin_server, endless_line_is_refused_and_closed)
{
    static char line[ADMIN_LINE_BYTES_MAX + 100];
    bool closed;
    int fd = client();
    memset(line, 'a', sizeof(line));
    say(fd, line, sizeof(line));
    cr_expect_str_eq(hear(fd, &closed),
                     "{\"ok\":false,\"error\":\"E2BIG\",\"text\":\"the line is too long; send a shorter one\",\"exit\":1}\n");
    cr_expect(closed);
    close(fd);
}

Test(admin_server, garbage_is_answered_line_by_line)
{
    bool closed;
    int fd = client();
    say(fd, "\0\xff\n\n[\"echo\",1]\necho a\n", 22);
    const char *text = hear(fd, &closed);
    size_t lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    cr_expect_eq(lines, 4, "%s", text);
    cr_expect_not_null(strstr(text, "{\"ok\":true,\"word\":\"a\"}\n"));
    cr_expect_not(closed);
    close(fd);
}

Test(admin_server, client_that_leaves_within_a_line_is_forgotten)
{
    int fd = client();
    say(fd, "echo", 4);
    close(fd);
    run();
    cr_expect_eq(handled, 0);
}

Test(admin_server, client_that_does_not_read_is_not_answered_for_ever)
{
    static char lines[400 * 6];
    int fd = client();
    for (size_t i = 0; i < sizeof(lines); i += 6)
        memcpy(lines + i, "large\n", 6);
    say(fd, lines, sizeof(lines));
    for (int i = 0; i < 50; i++)
        run();
    cr_expect_lt(handled, 100, "%zu", handled);
    close(fd);
    run();
}

Test(admin_server, more_clients_than_allowed_push_out_the_idle)
{
    int fds[ADMIN_CONNECTIONS_MAX + 1];
    bool closed;
    for (int i = 0; i <= ADMIN_CONNECTIONS_MAX; i++)
        fds[i] = client();
    say(fds[ADMIN_CONNECTIONS_MAX], "echo a\n", 7);
    cr_expect_str_eq(hear(fds[ADMIN_CONNECTIONS_MAX], &closed), "{\"ok\":true,\"word\":\"a\"}\n");
    for (int i = 0; i <= ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
}

Test(admin_server, dripping_line_is_answered_once_it_is_whole)
{
    bool closed;
    int fd = client();
    for (const char *at = "echo drip\n"; *at; at++)
        say(fd, at, 1);
    cr_expect_str_eq(hear(fd, &closed), "{\"ok\":true,\"word\":\"drip\"}\n");
    close(fd);
}

/* ---- answers that come later ---- */

Test(admin_server, client_that_leaves_before_its_answer_is_forgotten)
{
    int fd = client();
    say(fd, "wait\n", 5);
    close(fd);
    run();
    cr_assert_not_null(later);
    admin_later_finish(later);
    run();
}

Test(admin_server, server_may_go_before_an_answer)
{
    int fd = client();
    say(fd, "wait\n", 5);
    admin_server_free(server);
    server = NULL;
    admin_later_finish(later);
    close(fd);
}

Test(admin_server, lines_behind_an_answer_that_comes_later_wait_for_it)
{
    bool closed;
    int fd = client();
    say(fd, "wait\necho a\n", 12);
    cr_expect_str_eq(hear(fd, &closed), "");
    cr_expect_eq(handled, 0);
    json_object_set_new(admin_later_answer(later), "at", json_string("last"));
    admin_later_finish(later);
    run();
    cr_expect_str_eq(hear(fd, &closed), "{\"ok\":true,\"at\":\"last\"}\n{\"ok\":true,\"word\":\"a\"}\n");
    cr_expect_not(closed);
    close(fd);
}

Test(admin_server, answer_that_comes_later_may_be_a_failure)
{
    bool closed;
    int fd = client();
    say(fd, "wait\n", 5);
    run();
    json_object_set_new(admin_later_answer(later), "at", json_string("last"));
    admin_later_fail(later, -ENOENT, EXIT_CODE_NO_NODE, "no node \"%s\"", "x");
    run();
    cr_expect_str_eq(hear(fd, &closed), "{\"ok\":false,\"error\":\"ENOENT\",\"text\":\"no node \\\"x\\\"\",\"exit\":4}\n");
    close(fd);
}

Test(admin_server, client_that_does_not_read_gets_no_more_pieces)
{
    int fd = client();
    pieces_made = 3; /* endless */
    say(fd, "rows\n", 5);
    int made;
    do {
        made = pieces_made;
        run_pieces();
    } while (pieces_made != made && made < 100);
    cr_expect_lt(made, 100, "%d", made);
    close(fd);
    for (int i = 0; i < 100 && pieces_freed == 0; i++)
        run_pieces();
    cr_expect_eq(pieces_freed, 1);
}

Test(admin_server, server_may_go_before_the_last_piece)
{
    int fd = client();
    say(fd, "rows\n", 5);
    admin_server_free(server);
    server = NULL;
    cr_expect_eq(pieces_freed, 1);
    close(fd);
}

Test(admin_server, lines_behind_an_answer_in_pieces_wait_for_it)
{
    bool closed;
    int fd = client();
    say(fd, "rows\necho a\n", 12);
    for (int i = 0; i < 100 && pieces_freed == 0; i++)
        run_pieces();
    cr_expect_str_eq(hear(fd, &closed), "{\"ok\":true,\"rows\":[0,1,2]}\n{\"ok\":true,\"word\":\"a\"}\n");
    cr_expect_not(closed);
    cr_expect_eq(pieces_freed, 1);
    close(fd);
}

Test(admin_server, socket_is_for_owner_and_group_alone)
{
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0660);
}
