/* usher-docs - writes the parts of the documents that the tables know best: `usher-docs options|metrics|messages|errors|services|redis`. They
 * stand in docs/ between comments that name the command; tools/check compares them with what it writes now, tools/check
 * --update-docs renews them. Man pages need no place there: each program writes its own (--dump-docs=man) when it is installed.
 * */
#include <stdio.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/base/macros.h"
#include "core/daemon/metrics.h"
#include "tools/docs/documents.h"

struct document {
    const char *name;
    int (*print)(const char *program_path, struct buffer *text);
};

static int print_metrics(const char *program_path, struct buffer *text)
{
    (void)program_path;
    return metrics_document(text);
}

static const struct document documents[] = {
    {"options", document_options}, {"metrics", print_metrics},      {"messages", document_messages},
    {"errors", document_errors},   {"services", document_services}, {"redis", document_redis},
};

int main(int argc, char **argv)
{
    struct buffer text = {0};
    for (size_t i = 0; argc == 2 && i < ARRAY_COUNT(documents); i++) {
        if (strcmp(argv[1], documents[i].name) != 0)
            continue;
        int error = documents[i].print(argv[0], &text);
        if (error == 0)
            fwrite(text.bytes, 1, text.length, stdout);
        else
            fprintf(stderr, "usher-docs: could not write %s: %s\n", argv[1], error_text(error));
        buffer_done(&text);
        return error == 0 && fflush(stdout) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    }
    fprintf(stderr, "usher-docs: say which document: options, metrics, messages, errors, services or redis\n");
    return EXIT_CODE_USAGE;
}
