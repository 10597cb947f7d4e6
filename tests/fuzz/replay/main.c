/* Replays a fuzz target's corpus in ordinary builds: what a fuzzer once found stays found.
 *
 * Usage: replay_<target> <corpus folder>. Fails when the folder holds no file, so that a lost corpus cannot pass. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_SIZE_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

/* Runs the target on one file. The copy is exactly as long as the file, so that AddressSanitizer sees a read past it. */
static int input_replay(const char *folder, const char *name, uint8_t *buffer)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        fprintf(stderr, "replay: the path of %s is too long\n", name);
        return -1;
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t size = fread(buffer, 1, INPUT_SIZE_MAX, file);
    fclose(file);
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL) {
        fprintf(stderr, "replay: out of memory for %zu bytes\n", size);
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        data[i] = buffer[i];
    fprintf(stderr, "%s: %zu bytes\n", name, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

/* The number of files replayed, or -1. */
static int corpus_replay(const char *folder, uint8_t *buffer)
{
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        perror(folder);
        return -1;
    }
    int replayed = 0;
    const struct dirent *entry;
    while (replayed >= 0 && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        replayed = input_replay(folder, entry->d_name, buffer) == 0 ? replayed + 1 : -1;
    }
    closedir(entries);
    return replayed;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s <corpus folder>\n", argv[0]);
        return 2;
    }
    uint8_t *buffer = malloc(INPUT_SIZE_MAX);
    if (buffer == NULL)
        return 1;
    int replayed = corpus_replay(argv[1], buffer);
    free(buffer);
    if (replayed == 0)
        fprintf(stderr, "replay: no files in %s\n", argv[1]);
    return replayed > 0 ? 0 : 1;
}
