/* service_builtin - the services every node can offer without a program (services.def).
 * Thread: the executor's. Blocks for as long as the service takes, at most the service time. Memory: none of its own. */
#pragma once

#include "core/node/service.h"

#define SERVICE(name, function, parameters, help) service_function function;
#include "core/node/services.def"
#undef SERVICE
