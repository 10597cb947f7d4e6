# The libraries Usher is built on, as targets. tools/deps installs them; docs/DEPENDENCIES.md says why each one was taken.
find_package(Threads REQUIRED)

# usher_library(<target> <header> <library>): an imported library that Debian keeps in the ordinary folders.
function(usher_library target header library)
    find_path(USHER_${target}_HEADER ${header})
    find_library(USHER_${target}_LIBRARY ${library})
    mark_as_advanced(USHER_${target}_HEADER USHER_${target}_LIBRARY)
    if(NOT USHER_${target}_HEADER OR NOT USHER_${target}_LIBRARY)
        message(FATAL_ERROR "${target} is missing (<${header}>): run tools/deps")
    endif()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${USHER_${target}_LIBRARY})
endfunction()

usher_library(hiredis hiredis/hiredis.h hiredis)
usher_library(jansson jansson.h jansson)
usher_library(http_parser http_parser.h http_parser)
usher_library(sodium sodium.h sodium)

# liburing is linked statically, so that a binary built on Debian 12 carries the 2.9 that Debian 12 does not have. There
# tools/deps puts it, and the newer kernel headers it includes, into build/deps/root. Only files whose name contains
# "uring" see these headers (UsherRoom.cmake): the rest is compiled against the system's own.
set(USHER_PRIVATE_ROOT ${PROJECT_SOURCE_DIR}/build/deps/root/usr)
if(EXISTS ${USHER_PRIVATE_ROOT}/include/liburing.h)
    set(liburing_include ${USHER_PRIVATE_ROOT}/include)
    set(USHER_URING_OPTIONS
        -isystem ${USHER_PRIVATE_ROOT}/include/${CMAKE_C_LIBRARY_ARCHITECTURE} -isystem ${USHER_PRIVATE_ROOT}/include)
    set(liburing_archive ${USHER_PRIVATE_ROOT}/lib/${CMAKE_C_LIBRARY_ARCHITECTURE}/liburing.a)
else()
    find_path(USHER_liburing_HEADER liburing.h)
    find_library(USHER_liburing_LIBRARY liburing.a)
    mark_as_advanced(USHER_liburing_HEADER USHER_liburing_LIBRARY)
    set(liburing_include ${USHER_liburing_HEADER})
    set(USHER_URING_OPTIONS "")
    set(liburing_archive ${USHER_liburing_LIBRARY})
endif()
set(liburing_version 0)
if(EXISTS ${liburing_include}/liburing/io_uring_version.h)
    file(STRINGS ${liburing_include}/liburing/io_uring_version.h lines REGEX "define IO_URING_VERSION_(MAJOR|MINOR) ")
    string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" liburing_version "${lines}")
endif()
if(NOT EXISTS "${liburing_archive}" OR liburing_version VERSION_LESS 2.9)
    message(FATAL_ERROR "liburing 2.9 or later is missing (found: ${liburing_version}): run tools/deps")
endif()
add_library(liburing INTERFACE)
target_link_libraries(liburing INTERFACE ${liburing_archive})
