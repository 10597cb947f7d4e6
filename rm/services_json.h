/* services_json - what rm knows about services as JSON: for the admin socket and for HTTP alike.
 * Thread: the control loop's. Memory: what is returned is the caller's reference; NULL when memory ran out. */
#pragma once

#include <jansson.h>

#include "rm/cluster.h"

json_t *services_json(const struct cluster *cluster);
