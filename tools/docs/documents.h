/* documents - what the tables say, as markdown. `program_path` is argv[0]: the programs described stand beside it.
 * Thread: any. document_options starts the programs and waits for them. */
#pragma once

#include "core/base/buffer.h"
#include "core/base/macros.h"

/* Every program beside this one describes its options itself (--dump-docs=markdown), so that a new program needs nothing here.
 * */
NODISCARD int document_options(const char *program_path, struct buffer *text);

NODISCARD int document_messages(const char *program_path, struct buffer *text);
NODISCARD int document_redis(const char *program_path, struct buffer *text);
NODISCARD int document_services(const char *program_path, struct buffer *text);
NODISCARD int document_errors(const char *program_path, struct buffer *text);
