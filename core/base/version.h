/* version - of the whole product; CMakeLists.txt reads it from here. Thread: any. */
#pragma once

#define USHER_VERSION "0.1.0"
