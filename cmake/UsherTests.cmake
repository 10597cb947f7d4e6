# Tests are found by where they lie:
#   tests/unit/<room>/test_*.c    one Criterion program per folder                      label unit
#   tests/stress/*.c              one program with a plain main() each                  label stress
#   tests/fuzz/*.c                a libFuzzer target each (preset fuzz); in every other build it replays the files of
#                                 tests/fuzz/corpus/<target>/                           label fuzz-corpus, fuzz
#   tests/integration/*.sh|*.py   scripts that start real processes from $USHER_BIN     label integration
#   tests/support/preload/*.c     shared objects for LD_PRELOAD, one each
#   tools/check*                  house style, its own tests, clang-tidy                label check
# tests/support/*.c is linked to all of these. ThreadSanitizer runs no Criterion: libcriterion crashes under it.
enable_testing()

# A sanitizer's report must fail a test whatever the exit code: Criterion keeps it at 0 when LeakSanitizer reports.
set(USHER_TEST_FAILURES "ERROR: LeakSanitizer|ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error:")
set(USHER_ROOMS core_base core_wire core_api core_conf core_policy core_io core_http core_redis core_daemon core_node client
    client_command dispatcher worker rm tools_usherctl tools_sim bench_load bench_feed bench_fleet bench_parts)

# gcc 12's ThreadSanitizer refuses to start when the kernel places mappings at addresses it does not expect.
set(test_launcher "")
if(USHER_SANITIZE STREQUAL "thread")
    set(test_launcher setarch --addr-no-randomize)
endif()

# usher_test(<name> LABEL <label> TIMEOUT <seconds> COMMAND <command>...)
function(usher_test name)
    cmake_parse_arguments(PARSE_ARGV 1 test "" "LABEL;TIMEOUT" "COMMAND")
    add_test(NAME ${name} COMMAND ${test_launcher} ${test_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES
        LABELS ${test_LABEL}
        TIMEOUT ${test_TIMEOUT}
        FAIL_REGULAR_EXPRESSION "${USHER_TEST_FAILURES}"
        ENVIRONMENT "USHER_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0")
endfunction()

# usher_test_program(<target> <source>...): a program with every room at hand, out of the way of the product's in bin/.
function(usher_test_program target)
    add_executable(${target} ${ARGN})
    usher_uring_sources(${ARGN})
    target_link_libraries(${target} PRIVATE tests_support ${USHER_ROOMS})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
endfunction()

function(usher_unit_tests)
    usher_library(criterion criterion/criterion.h criterion)
    set(unit ${PROJECT_SOURCE_DIR}/tests/unit)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${unit}/*.c)
    set(folders "")
    foreach(source IN LISTS sources)
        get_filename_component(folder ${source} DIRECTORY)
        list(APPEND folders ${folder})
    endforeach()
    list(REMOVE_DUPLICATES folders)
    foreach(folder IN LISTS folders)
        file(RELATIVE_PATH room ${unit} ${folder})
        string(REPLACE "/" "_" target unit_${room})
        set(members ${sources})
        string(REGEX REPLACE "([][+.*()^])" "\\\\\\1" pattern ${folder})
        list(FILTER members INCLUDE REGEX "^${pattern}/[^/]*\\.c$")
        usher_test_program(${target} ${members})
        target_link_libraries(${target} PRIVATE criterion)
        usher_test(unit/${room} LABEL unit TIMEOUT 120 COMMAND $<TARGET_FILE:${target}>)
    endforeach()
endfunction()

# usher_plain_tests(<folder> <timeout>): programs that exit with 0 when all is well.
function(usher_plain_tests folder timeout)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.c)
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME_WE)
        usher_test_program(${folder}_${name} ${source})
        usher_test(${folder}/${name} LABEL ${folder} TIMEOUT ${timeout} COMMAND $<TARGET_FILE:${folder}_${name}>)
        set_tests_properties(${folder}/${name} PROPERTIES PROCESSORS 2)
    endforeach()
endfunction()

function(usher_fuzz_targets)
    set(fuzz ${PROJECT_SOURCE_DIR}/tests/fuzz)
    file(GLOB sources CONFIGURE_DEPENDS ${fuzz}/*.c)
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME_WE)
        if(USHER_SANITIZE STREQUAL "fuzz")
            usher_test_program(${name} ${source})
            target_link_options(${name} PRIVATE -fsanitize=fuzzer)
            set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
            # What a run finds goes into the build; what is worth keeping is copied into the corpus by hand.
            set(found ${PROJECT_BINARY_DIR}/found/${name})
            file(MAKE_DIRECTORY ${found})
            usher_test(fuzz/${name} LABEL fuzz TIMEOUT 60
                COMMAND $<TARGET_FILE:${name}> -max_total_time=5 -artifact_prefix=${found}. ${found} ${fuzz}/corpus/${name})
        else()
            usher_test_program(replay_${name} ${source} ${fuzz}/replay/main.c)
            usher_test(fuzz-corpus/${name} LABEL fuzz-corpus TIMEOUT 120 COMMAND $<TARGET_FILE:replay_${name}> ${fuzz}/corpus/${name})
        endif()
    endforeach()
endfunction()

# Integration tests are run one at a time: they use the machine's ports and time its answers.
function(usher_integration_tests)
    set(runner "")
    if(USHER_SANITIZE)
        set(runner ${PROJECT_SOURCE_DIR}/tools/test-integration)
    endif()
    file(GLOB scripts CONFIGURE_DEPENDS
        ${PROJECT_SOURCE_DIR}/tests/integration/*.sh ${PROJECT_SOURCE_DIR}/tests/integration/*.py)
    foreach(script IN LISTS scripts)
        get_filename_component(name ${script} NAME_WE)
        usher_test(integration/${name} LABEL integration TIMEOUT 300 COMMAND ${runner} ${script})
        set_tests_properties(integration/${name} PROPERTIES RUN_SERIAL ON)
    endforeach()
endfunction()

# What integration tests put before libc. A sanitizer's runtime wants to stand there itself.
function(usher_preloads)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/preload/*.c)
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME_WE)
        add_library(${name} MODULE ${source})
        set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    endforeach()
endfunction()

file(GLOB support CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.c)
if(support)
    add_library(tests_support STATIC ${support})
else()
    add_library(tests_support INTERFACE)
endif()
target_link_libraries(tests_support INTERFACE ${USHER_ROOMS})

usher_fuzz_targets()
if(NOT USHER_SANITIZE STREQUAL "fuzz")
    if(NOT USHER_SANITIZE STREQUAL "thread")
        usher_unit_tests()
    endif()
    usher_plain_tests(stress 300)
    usher_integration_tests()
endif()
if(NOT USHER_SANITIZE)
    usher_preloads()
endif()

# The checks look at the sources, so one build that runs them is enough; clang-tidy needs clang's own command lines.
if(NOT USHER_SANITIZE)
    usher_test(check/style LABEL check TIMEOUT 120 COMMAND ${PROJECT_SOURCE_DIR}/tools/check)
    usher_test(check/style_rules LABEL check TIMEOUT 120 COMMAND ${PROJECT_SOURCE_DIR}/tools/check_test.py)
    if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
        usher_test(check/tidy LABEL check TIMEOUT 900 COMMAND ${PROJECT_SOURCE_DIR}/tools/check-tidy ${PROJECT_BINARY_DIR})
        set_tests_properties(check/tidy PROPERTIES SKIP_RETURN_CODE 77 RUN_SERIAL ON)
    endif()
endif()
