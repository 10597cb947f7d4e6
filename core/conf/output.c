/* The standard streams: what was printed has either arrived, or the program says that it has not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/exit_code.h"
#include "core/conf/conf.h"

bool conf_wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

void conf_open_streams(void)
{
    static const int modes[] = {[STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int opened = open("/dev/null", modes[fd]); /* the lowest free number: fd */
        if (opened > STDERR_FILENO)
            close(opened);
    }
}

/* Why the first write failed; the stream itself keeps only that one did. */
static int output_error;

void conf_write_output(const void *bytes, size_t length)
{
    if (fwrite(bytes, 1, length, stdout) < length && output_error == 0)
        output_error = errno;
}

int conf_finish_output(const char *program_name)
{
    int error = fflush(stdout) == 0 ? 0 : errno;
    if (error == 0 && !ferror(stdout))
        return EXIT_CODE_OK;
    if (output_error)
        error = output_error;
    fprintf(stderr, "%s: cannot write to stdout: %s\n", program_name, strerror(error ? error : EIO));
    return EXIT_CODE_FAILED;
}
