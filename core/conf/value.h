/* value - one option's value: from text to its typed field, and back. Internal to core/conf.
 * Thread: any. Memory: texts and lists in a field are on the heap; value_done frees them. */
#pragma once

#include "core/conf/conf.h"

#define VALUE_ITEM_BYTES_MAX 4096

/* Replaces the field's value; with `more`, adds to a list. On failure the field is untouched and ret_error says what would have
 * been right, without naming the option. -EINVAL, -ENOMEM. */
NODISCARD int value_parse(const struct conf_option *option, const char *text, bool more, void *field,
                          struct conf_error *ret_error);

/* Several values of one option add up. */
bool value_is_list(enum conf_kind kind);

void value_done(enum conf_kind kind, void *field);
bool value_equal(enum conf_kind kind, const void *a, const void *b);

/* Exchanges two fields of a kind. */
void value_swap(enum conf_kind kind, void *a, void *b);

/* Alternatives of a row, "auto|uring|tcp:HOST:PORT": the index of the one that the text names or, where that has a colon, begins with.
 * -EINVAL with ret_error, which lists all. */
NODISCARD int value_choose(const char *alternatives, const char *text, struct conf_error *ret_error);

/* For the list kinds: value_list.c. */
NODISCARD int value_parse_list(const struct conf_option *option, const char *text, void *field, struct conf_error *ret_error);
NODISCARD int value_parse_weights(const struct conf_option *option, const char *text, struct conf_weights *weights,
                                  struct conf_error *ret_error);
NODISCARD int value_parse_number(const char *text, double *ret_number);

/* Copies what stands before the next separator and moves the cursor behind it. False at the end; an item that is too long is
 * cut, which every parser refuses because nothing valid is that long. */
bool value_next_item(const char **cursor, char separator, char item[static VALUE_ITEM_BYTES_MAX]);
