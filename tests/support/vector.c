#include "tests/support/vector.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"

#define VECTORS_FOLDER "tests/vectors/"
#define FILE_BYTES_MAX 65536

/* The file's text, NUL-terminated; freed by the caller. */
static char *file_read(const char *path)
{
    char *text = malloc(FILE_BYTES_MAX);
    FILE *file = fopen(path, "r");
    CHECK(text != NULL && file != NULL);
    size_t length = fread(text, 1, FILE_BYTES_MAX - 1, file);
    CHECK(length > 0 && length < FILE_BYTES_MAX - 1);
    text[length] = '\0';
    fclose(file);
    return text;
}

static uint8_t hex_digit(char c)
{
    CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void hex_parse(struct vector *vector, const char *text)
{
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    CHECK(bytes != NULL);
    while (*text != '\0') {
        if (*text == '#')
            text += strcspn(text, "\n");
        else if (*text == ' ' || *text == '\n')
            text++;
        else {
            bytes[vector->length++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
            text += 2;
        }
    }
    vector->bytes = malloc(vector->length);
    CHECK(vector->bytes != NULL);
    memcpy(vector->bytes, bytes, vector->length);
    free(bytes);
}

static void fields_parse(struct vector *vector, const char *text)
{
    vector->datagram = strncmp(text, "transport=udp\n", 14) == 0;
    CHECK(vector->datagram || strncmp(text, "transport=tcp\n", 14) == 0);
    text += 14;
    if (sscanf(text, "refusal=%31s", vector->refusal) != 1)
        vector->refusal[0] = '\0';
    vector->fields = strdup(text);
    CHECK(vector->fields != NULL);
}

static void vector_load(const char *path, struct vector *vector)
{
    const char *base = strrchr(path, '/') + 1;
    char fields_path[256];
    int stem_length = (int)strlen(base) - 4;
    snprintf(vector->name, sizeof(vector->name), "%.*s", stem_length, base);
    snprintf(fields_path, sizeof(fields_path), VECTORS_FOLDER "%.*s.fields", stem_length, base);
    char *hex = file_read(path);
    char *fields = file_read(fields_path);
    hex_parse(vector, hex);
    fields_parse(vector, fields);
    free(hex);
    free(fields);
}

struct vectors vectors_load(void)
{
    glob_t paths;
    CHECK(glob(VECTORS_FOLDER "*.hex", 0, NULL, &paths) == 0);
    struct vectors vectors = {.vectors = calloc(paths.gl_pathc, sizeof(struct vector)), .count = paths.gl_pathc};
    CHECK(vectors.vectors != NULL);
    for (size_t i = 0; i < vectors.count; i++)
        vector_load(paths.gl_pathv[i], &vectors.vectors[i]);
    globfree(&paths);
    return vectors;
}

void vectors_free(struct vectors *vectors)
{
    for (size_t i = 0; i < vectors->count; i++) {
        free(vectors->vectors[i].bytes);
        free(vectors->vectors[i].fields);
    }
    free(vectors->vectors);
}
