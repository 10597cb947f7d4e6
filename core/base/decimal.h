/* decimal - numbers as text, where printf would be most of the work: what rm writes for each node, many times a second.
 * Thread: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DECIMAL_TEXT_BYTES 32

/* Writes the digits and a NUL; returns how many characters came before it. */
size_t decimal_format(uint64_t number, char text[static DECIMAL_TEXT_BYTES]);

/* A number of millionths, as 0.25 or 12, with as few digits as say it exactly. */
size_t decimal_format_millionths(uint64_t millionths, char text[static DECIMAL_TEXT_BYTES]);

/* As printf's %.6g has it, but that what lies exactly between two numbers of six digits goes up: of a float, which has no more. */
size_t decimal_format_six(double value, char text[static DECIMAL_TEXT_BYTES]);
