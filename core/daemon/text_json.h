/* text_json - messages as JSON strings, whatever was quoted in them.
 *
 * Thread: any. Memory: the string is the caller's. Nothing blocks. */
#pragma once

#include <jansson.h>

#define TEXT_JSON_BYTES_MAX 512u

/* A message that was cut within a character, or quotes bytes that are no UTF-8, is no JSON string: then plain letters have to do, of its
 * first TEXT_JSON_BYTES_MAX bytes. NULL: out of memory. */
json_t *text_to_json(const char *text);
