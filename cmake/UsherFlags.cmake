# Compiler flags and what the presets switch. CHECK stays in every build, whatever NDEBUG says; DEBUG_CHECK goes with it.
set(USHER_SANITIZE "" CACHE STRING "address (with leak and undefined), thread, fuzz (libFuzzer on top of address) or empty")
set_property(CACHE USHER_SANITIZE PROPERTY STRINGS "" address thread fuzz)
if(NOT USHER_SANITIZE MATCHES "^(address|thread|fuzz|)$")
    message(FATAL_ERROR "USHER_SANITIZE=${USHER_SANITIZE} is unknown: use address, thread, fuzz or leave it empty")
endif()
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# A release keeps its debug information: a stack trace from the field should be readable.
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g -DNDEBUG")

add_compile_definitions(_GNU_SOURCE)
include_directories(${PROJECT_SOURCE_DIR})

add_compile_options(
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual
    -Wwrite-strings -Wundef -Wvla -Wimplicit-fallthrough -Wformat=2
    # Nothing of the building machine's paths in what __FILE__ and assert print.
    -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)

# Named constants are enumerators here, in floating-point arithmetic too; only newer clangs warn of that.
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-Wno-enum-float-conversion)
endif()

# Instrumented code makes gcc's warnings that follow values wrong; the other builds have them.
if(USHER_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-format-truncation -Wno-maybe-uninitialized)
endif()
if(USHER_SANITIZE STREQUAL "address" OR USHER_SANITIZE STREQUAL "fuzz")
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
    if(USHER_SANITIZE STREQUAL "fuzz")
        add_compile_options(-fsanitize=fuzzer-no-link)
    endif()
elseif(USHER_SANITIZE STREQUAL "thread")
    # -Wno-tsan: gcc warns of every atomic_thread_fence, which ThreadSanitizer does not model. Where a fence matters the
    # code says so, and the stress tests verify the order of what passed through.
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
    add_link_options(-fsanitize=thread)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-Wno-tsan)
    endif()
else()
    # What distributions build their daemons with. _FORTIFY_SOURCE needs an optimising build.
    add_compile_options(-fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
        add_compile_options(-fcf-protection)
    endif()
    add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
    add_link_options(-Wl,-z,relro -Wl,-z,now)
endif()
