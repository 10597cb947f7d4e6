# A room is a folder whose .c files (main.c apart) make one static library, named after the folder: core/io -> core_io.

# usher_room(<folder> [LINK <target>...])
# A folder that has no .c files, or is not there, becomes a library of headers only, so that others can name it.
function(usher_room folder)
    cmake_parse_arguments(PARSE_ARGV 1 room "" "" "LINK")
    string(REPLACE "/" "_" target ${folder})
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    if(sources)
        add_library(${target} STATIC ${sources})
        target_link_libraries(${target} PUBLIC ${room_LINK})
        usher_uring_sources(${sources})
    else()
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE ${room_LINK})
    endif()
endfunction()

# Files whose name contains "uring" may include <liburing.h>: these see the headers that belong to it.
function(usher_uring_sources)
    foreach(source IN LISTS ARGN)
        get_filename_component(name ${source} NAME)
        if(name MATCHES "uring" AND USHER_URING_OPTIONS)
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${USHER_URING_OPTIONS}")
        endif()
    endforeach()
endfunction()

# usher_program(<name> <folder>): the program of the folder's main.c, if there is one, on top of the folder's room.
function(usher_program name folder)
    file(GLOB main CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/main.c)
    if(main)
        string(REPLACE "/" "_" room ${folder})
        add_executable(${name} ${main})
        target_link_libraries(${name} PRIVATE ${room})
    endif()
endfunction()
