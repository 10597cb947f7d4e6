/* The configuration file: lines `name = value`; flags may stand alone. A # at the start of a line or after
 * white space begins a comment; a value in double quotes keeps its # and its spaces. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "core/conf/internal.h"

#define CONF_FILE_BYTES_MAX (1u << 20)
#define SPACES " \t\r"

static int read_all(const char *path, struct buffer *text)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &status) < 0 ? -errno : 0;
    if (error == 0 && !S_ISREG(status.st_mode))
        error = S_ISDIR(status.st_mode) ? -EISDIR : -ENOTSUP;
    while (error == 0) {
        error = buffer_reserve(text, 4096);
        if (error < 0)
            break;
        ssize_t got = read(fd, text->bytes + text->length, 4095); /* room for the NUL */
        if (got < 0 && errno != EINTR)
            error = -errno;
        if (got == 0)
            break;
        text->length += got > 0 ? (size_t)got : 0;
        if (text->length > CONF_FILE_BYTES_MAX)
            error = -EFBIG;
    }
    close(fd);
    return error;
}

static void trim_end(char *text)
{
    size_t length = strlen(text);
    while (length && strchr(SPACES, text[length - 1]))
        text[--length] = '\0';
}

/* Ends the value where a comment begins and takes off the quotes. False: a quote is not closed. */
static bool value_clean(char **value)
{
    if (**value == '"') {
        char *end = strchr(*value + 1, '"');
        if (!end || (end[1] != '\0' && !strchr(SPACES "#", end[1])))
            return false;
        *end = '\0';
        (*value)++;
        return true;
    }
    for (char *at = *value; *at; at++)
        if (*at == '#' && (at == *value || strchr(SPACES, at[-1]))) {
            *at = '\0';
            break;
        }
    trim_end(*value);
    return true;
}

/* What a line of that option must not be. `value` is NULL where the line is the name alone; `equals`: a = stands between them. */
static int check_row(const struct conf_program *program, const struct conf_option *option, const char *name, const char *value,
                     bool equals, struct conf_error *ret_error)
{
    struct conf_error hint;
    if (*name == '\0')
        conf_error_set(ret_error, "no name before =; write name = value");
    else if (!option)
        conf_error_set(ret_error, "unknown option %.80s%s%s", name, conf_hint(program, name, "", &hint),
                       equals ? "" : "; a line is name = value, a comment begins with #");
    else if (option->flags & CONF_COMMAND_LINE)
        conf_error_set(ret_error, "%s belongs on the command line; take this line out", name);
    else if (!value && option->kind != CONF_FLAG)
        conf_error_set(ret_error, "%s needs a value: %s = %s", name, name, option->value_name);
    else if (value && !equals)
        conf_error_set(ret_error, "no = between name and value; write %s = %.200s", name, value);
    else
        return 0;
    return -EINVAL;
}

static int read_line(struct conf_reading *reading, char *line, struct conf_error *ret_error)
{
    struct conf_error why;
    line += strspn(line, SPACES);
    if (*line == '\0' || *line == '#')
        return 0;
    size_t name_length = strcspn(line, SPACES "=#");
    char *value = line + name_length;
    value += strspn(value, SPACES);
    bool equals = *value == '=';
    if (equals)
        value += 1 + strspn(value + 1, SPACES);
    bool has_value = equals || (*value != '\0' && *value != '#');
    char *name = line;
    bool closed = value_clean(&value);
    name[name_length] = '\0';
    int error =
        check_row(reading->program, conf_find(reading->program, name, NULL), name, has_value ? value : NULL, equals, ret_error);
    if (error < 0)
        return error;
    if (!closed) {
        conf_error_set(ret_error, "%s: a double quote is not closed, or something follows it", name);
        return -EINVAL;
    }
    error = conf_reading_put(reading, CONF_SOURCE_FILE, name, has_value ? value : "yes", &why);
    if (error < 0)
        conf_error_set(ret_error, "%s: %.500s", name, why.text);
    return error;
}

static int read_lines(struct conf_reading *reading, const char *path, char *text, size_t length, struct conf_error *ret_error)
{
    struct conf_error why;
    unsigned number = 1;
    for (char *line = text; line < text + length; number++) {
        char *end = memchr(line, '\n', (size_t)(text + length - line));
        if (!end)
            end = text + length;
        *end = '\0';
        int error = 0;
        if (strlen(line) != (size_t)(end - line)) {
            conf_error_set(&why, "a zero byte; this is not a text file");
            error = -EINVAL;
        } else {
            error = read_line(reading, line, &why);
        }
        if (error < 0) {
            conf_error_set(ret_error, "%.100s:%u: %.500s", path, number, why.text);
            return error;
        }
        line = end + 1;
    }
    return 0;
}

int conf_file_read(struct conf_reading *reading, const char *path, struct conf_error *ret_error)
{
    struct buffer text = {0};
    int error = read_all(path, &text);
    if (error < 0)
        conf_error_set(ret_error, "cannot read the configuration file %.300s: %s", path,
                       error == -ENOTSUP ? "it is no regular file" : error_text(error));
    else
        error = read_lines(reading, path, (char *)text.bytes, text.length, ret_error);
    buffer_done(&text);
    return error;
}
