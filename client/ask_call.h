/* ask_call - a call that asks for addresses, or where the client is: usher_ask_start and usher_locate.
 * Thread: the client's. Memory: ask_call_start allocates; freed after the callback. Nothing blocks. */
#pragma once

#include "client/client.h"

/* ask NULL: a location. -EINVAL with client->message set; -EAGAIN, -ENOMEM. */
NODISCARD int ask_call_start(struct usher_client *client, const struct usher_ask *ask, usher_on_answer *callback, void *context,
                             uint64_t *ret_id);
