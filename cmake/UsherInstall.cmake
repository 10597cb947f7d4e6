# cmake --install: programs with their man pages, libusher with its one public header.
include(GNUInstallDirs)

# usher_install(<program> <folder> <section>): every program writes its own man page from the table that parses its options.
function(usher_install program folder section)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION ${folder})
        set(page ${PROJECT_BINARY_DIR}/${program}.${section})
        install(CODE "execute_process(COMMAND \"$<TARGET_FILE:${program}>\" --dump-docs=man OUTPUT_FILE \"${page}\"
            COMMAND_ERROR_IS_FATAL ANY)")
        install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    endif()
endfunction()

usher_install(usher ${CMAKE_INSTALL_BINDIR} 1)
usher_install(usher-load ${CMAKE_INSTALL_BINDIR} 1)
usher_install(usher-sim ${CMAKE_INSTALL_BINDIR} 1)
usher_install(usherctl ${CMAKE_INSTALL_BINDIR} 8)
usher_install(usher-dispatcher ${CMAKE_INSTALL_SBINDIR} 8)
usher_install(usher-worker ${CMAKE_INSTALL_SBINDIR} 8)
usher_install(usher-rm ${CMAKE_INSTALL_SBINDIR} 8)

# libusher.so carries the core rooms it is made of and shows usher_* alone. The programs and tests link the room itself.
get_target_property(client_type client TYPE)
if(client_type STREQUAL "STATIC_LIBRARY" AND NOT USHER_SANITIZE)
    add_library(libusher SHARED ${PROJECT_SOURCE_DIR}/cmake/libusher.map)
    set_target_properties(libusher PROPERTIES
        OUTPUT_NAME usher VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C)
    target_link_libraries(libusher PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,client>")
    target_link_options(libusher PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libusher.map)
    set_target_properties(libusher PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libusher.map)
    install(TARGETS libusher LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(FILES client/include/usher/usher.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/usher)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/grafana ${PROJECT_SOURCE_DIR}/deploy/prometheus
    DESTINATION ${CMAKE_INSTALL_DATADIR}/usher)
