/* Calls to daemons that are not there, do not answer, or are none. The other end is a socket of this test's own. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/exit_code.h"
#include "tools/usherctl/connection.h"
#include "tools/usherctl/find.h"

static char folder[64];

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/usherctl-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    static const char *const names[] = {"usher-a.sock", "usher-b.sock", "usher-dead.sock", "dead.sock", "silent.sock"};
    char path[128];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 8), 0);
    return fd;
}

/* Answers one connection with the given text, after its request line. */
struct server {
    int fd;
    const char *answer;
    char request[256];
};

static void *serve(void *context)
{
    struct server *server = context;
    int fd = accept(server->fd, NULL, NULL);
    size_t length = 0;
    ssize_t got = 1;
    /* The line may come in pieces, and closing before its end would break the connection while usherctl still sends. */
    while (got > 0 && memchr(server->request, '\n', length) == NULL) {
        got = recv(fd, server->request + length, sizeof(server->request) - 1 - length, 0);
        length += got > 0 ? (size_t)got : 0;
    }
    server->request[length] = '\0';
    (void)!write(fd, server->answer, strlen(server->answer));
    close(fd);
    return NULL;
}

static int call(const char *path, uint64_t timeout_ns, json_t **answer, struct conf_error *why)
{
    const char *words[] = {"set", "a b"};
    return connection_call(path, words, 2, timeout_ns, answer, why);
}

static int call_served(struct server *server, json_t **answer, struct conf_error *why)
{
    pthread_t thread;
    server->fd = listen_at(path_of("usher-a.sock"));
    cr_assert_eq(pthread_create(&thread, NULL, serve, server), 0);
    int code = call(path_of("usher-a.sock"), 5 * NS_PER_S, answer, why);
    pthread_join(thread, NULL);
    close(server->fd);
    return code;
}

Test(connection, missing_socket_is_unreachable, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    cr_expect_eq(call(path_of("none.sock"), NS_PER_S, &answer, &why), EXIT_CODE_UNREACHABLE);
    cr_expect_not_null(strstr(why.text, "is the daemon running"), "%s", why.text);
}

Test(connection, dead_socket_is_unreachable, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    close(listen_at(path_of("dead.sock")));
    cr_expect_eq(call(path_of("dead.sock"), NS_PER_S, &answer, &why), EXIT_CODE_UNREACHABLE);
    cr_expect_not_null(strstr(why.text, "its daemon has ended"), "%s", why.text);
    cr_expect_not(connection_is_alive(path_of("dead.sock")));
}

Test(connection, too_long_path_is_refused)
{
    struct conf_error why;
    json_t *answer = NULL;
    char path[300];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    cr_expect_eq(call(path, NS_PER_S, &answer, &why), EXIT_CODE_FAILED);
}

Test(connection, silent_daemon_is_given_up, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    int fd = listen_at(path_of("silent.sock"));
    cr_expect_eq(call(path_of("silent.sock"), 10 * NS_PER_MS, &answer, &why), EXIT_CODE_UNREACHABLE);
    cr_expect_not_null(strstr(why.text, "within 10ms"), "%s", why.text);
    close(fd);
}

Test(connection, closing_daemon_is_unreachable, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    struct server server = {.answer = "{\"ok\":"};
    cr_expect_eq(call_served(&server, &answer, &why), EXIT_CODE_UNREACHABLE);
    cr_expect_not_null(strstr(why.text, "closed the connection"), "%s", why.text);
}

Test(connection, foreign_server_is_named_so, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    struct server server = {.answer = "-ERR unknown command\r\n"};
    cr_expect_eq(call_served(&server, &answer, &why), EXIT_CODE_FAILED);
    cr_expect_not_null(strstr(why.text, "is no daemon of Usher"), "%s", why.text);
}

Test(connection, answer_arrives_and_words_keep_their_spaces, .init = setup, .fini = teardown)
{
    struct conf_error why;
    json_t *answer = NULL;
    struct server server = {.answer = "{\"ok\":true}\n"};
    cr_assert_eq(call_served(&server, &answer, &why), EXIT_CODE_OK);
    cr_expect(json_is_true(json_object_get(answer, "ok")));
    cr_expect_str_eq(server.request, "[\"set\",\"a b\"]\n");
    json_decref(answer);
}

Test(find, empty_folder_is_unreachable, .init = setup, .fini = teardown)
{
    char path[PATH_MAX];
    struct conf_error why;
    cr_expect_eq(find_socket(folder, path, &why), EXIT_CODE_UNREACHABLE);
    close(listen_at(path_of("usher-dead.sock")));
    cr_expect_eq(find_socket(folder, path, &why), EXIT_CODE_UNREACHABLE);
}

Test(find, several_are_listed, .init = setup, .fini = teardown)
{
    char path[PATH_MAX];
    struct conf_error why;
    int a = listen_at(path_of("usher-a.sock"));
    int b = listen_at(path_of("usher-b.sock"));
    cr_expect_eq(find_socket(folder, path, &why), EXIT_CODE_USAGE);
    cr_expect_not_null(strstr(why.text, path_of("usher-a.sock")), "%s", why.text);
    cr_expect_not_null(strstr(why.text, path_of("usher-b.sock")), "%s", why.text);
    close(a);
    close(b);
}

Test(find, only_living_one_is_taken, .init = setup, .fini = teardown)
{
    char path[PATH_MAX];
    struct conf_error why;
    close(listen_at(path_of("usher-dead.sock")));
    int fd = listen_at(path_of("usher-b.sock"));
    cr_assert_eq(find_socket(folder, path, &why), EXIT_CODE_OK);
    cr_expect_str_eq(path, path_of("usher-b.sock"));
    close(fd);
}
