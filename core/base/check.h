/* check - assertions about our own code. A failed CHECK is a bug of ours, never a peer's or an operator's fault: those get an
 * error code and a message. CHECK stays in release builds; DEBUG_CHECK is for hot paths and vanishes with NDEBUG.
 * Thread: any. */
#pragma once

__attribute__((noreturn, cold)) void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))

#ifdef NDEBUG
#define DEBUG_CHECK(expression) ((void)sizeof((expression) ? 1 : 0))
#else
#define DEBUG_CHECK(expression) CHECK(expression)
#endif
