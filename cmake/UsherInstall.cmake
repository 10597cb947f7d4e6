# cmake --install: programs, libusher with its one public header, man pages once they are written.
include(GNUInstallDirs)

foreach(program usher usherctl)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endforeach()
foreach(program usher-dispatcher usher-worker usher-rm)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
    endif()
endforeach()

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

file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8])
foreach(page IN LISTS pages)
    string(REGEX REPLACE ".*\\." "" section ${page})
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
