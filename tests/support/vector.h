/* vector - the test vectors of the protocol: tests/vectors/NAME.hex (bytes; what follows a # is a comment) and NAME.fields
 * (key=value lines: transport, then the decoded fields in the order of the wire, or the refusal).
 *
 * Thread: one owner. Memory: vectors_load allocates, vectors_free frees. Paths are relative to the repository. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_NAME_BYTES 64

struct vector {
    char name[VECTOR_NAME_BYTES]; /* "address_ipv4" */
    uint8_t *bytes; /* of exactly `length` bytes, so that AddressSanitizer sees a read past them */
    size_t length;
    bool datagram; /* travels over UDP */
    char refusal[32]; /* "" for a valid one */
    char *fields; /* what follows the transport line */
};

struct vectors {
    struct vector *vectors;
    size_t count;
};

/* Ends the program with a message when a file is missing or makes no sense: the tests cannot run without. */
struct vectors vectors_load(void);
void vectors_free(struct vectors *vectors);
