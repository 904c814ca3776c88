# Flags, and the three functions every room's CMakeLists.txt is written with.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "build type" FORCE)
endif()

option(SEALPOST_WERROR "treat warnings as errors (CI and development)" OFF)
option(SEALPOST_TESTS "build the tests" ON)
option(SEALPOST_FUZZ "build the libFuzzer targets (clang)" OFF)
set(SEALPOST_SANITIZE "" CACHE STRING "comma-separated sanitizers, e.g. address,undefined")

find_package(PkgConfig REQUIRED)

add_library(sealpost_flags INTERFACE)
target_include_directories(sealpost_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(sealpost_flags INTERFACE
    _GNU_SOURCE SEALPOST_VERSION="${PROJECT_VERSION}")
target_compile_options(sealpost_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    # Byte-wise code mixes char, uint8_t and int all the time; the sign warnings would drown the rest.
    -Wno-sign-conversion
    -Wformat=2 -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes
    -Wimplicit-fallthrough
    # Statement expressions and ##__VA_ARGS__ are not used, but cmocka's headers are.
    -fno-strict-aliasing -fno-omit-frame-pointer)
if(SEALPOST_WERROR)
    target_compile_options(sealpost_flags INTERFACE -Werror)
endif()

if(SEALPOST_SANITIZE)
    target_compile_options(sealpost_flags INTERFACE
        -fsanitize=${SEALPOST_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(sealpost_flags INTERFACE -fsanitize=${SEALPOST_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # Hardening of what people run; _FORTIFY_SOURCE needs optimisation and fights the sanitizers.
    target_compile_options(sealpost_flags INTERFACE
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection)
    target_link_options(sealpost_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(SEALPOST_FUZZ)
    target_compile_options(sealpost_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(sealpost_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Adds a subdirectory that has a CMakeLists.txt.
function(sealpost_add_directory directory)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${directory}/CMakeLists.txt")
        add_subdirectory(${directory})
    endif()
endfunction()

# sealpost_room(NAME SOURCES a.c b.c [ROOMS mail queue] [PACKAGES libuv>=1.44] [LIBRARIES lmdb])
# One static library per room, sealpost_NAME. ROOMS are its arrows in DESIGN.md's drawing.
function(sealpost_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;ROOMS;PACKAGES;LIBRARIES" ${ARGN})
    add_library(sealpost_${name} STATIC ${ROOM_SOURCES})
    target_link_libraries(sealpost_${name} PUBLIC sealpost_flags)
    foreach(room IN LISTS ROOM_ROOMS)
        target_link_libraries(sealpost_${name} PUBLIC sealpost_${room})
    endforeach()
    foreach(package IN LISTS ROOM_PACKAGES)
        string(MAKE_C_IDENTIFIER "PC_${package}" id)
        pkg_check_modules(${id} REQUIRED IMPORTED_TARGET GLOBAL ${package})
        target_link_libraries(sealpost_${name} PRIVATE PkgConfig::${id})
    endforeach()
    target_link_libraries(sealpost_${name} PRIVATE ${ROOM_LIBRARIES})
endfunction()

# sealpost_test(NAME SOURCES test_x.c [ROOMS mail] [LIBRARIES ...]): one cmocka program, one ctest entry "unit.NAME".
function(sealpost_test name)
    cmake_parse_arguments(TEST "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET GLOBAL cmocka)
    add_executable(test_${name} ${TEST_SOURCES})
    set_target_properties(test_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    target_link_libraries(test_${name} PRIVATE sealpost_flags PkgConfig::CMOCKA ${TEST_LIBRARIES})
    foreach(room IN LISTS TEST_ROOMS)
        target_link_libraries(test_${name} PRIVATE sealpost_${room})
    endforeach()
    add_test(NAME unit.${name} COMMAND test_${name})
    set_tests_properties(unit.${name} PROPERTIES TIMEOUT 60 LABELS unit
        ENVIRONMENT "ASAN_OPTIONS=detect_leaks=1;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()

# sealpost_fuzz(NAME SOURCES fuzz_x.c [ROOMS mail]): with SEALPOST_FUZZ a libFuzzer program; without it a plain
# program (tests/support/fuzz_replay.c) that ctest runs over the kept corpus and regressions.
function(sealpost_fuzz name)
    cmake_parse_arguments(FUZZ "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
    if(SEALPOST_FUZZ)
        add_executable(fuzz_${name} ${FUZZ_SOURCES})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(fuzz_${name} ${FUZZ_SOURCES} "${CMAKE_SOURCE_DIR}/tests/support/fuzz_replay.c")
        add_test(NAME fuzz.${name} COMMAND fuzz_${name}
            "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}" "${CMAKE_SOURCE_DIR}/tests/fuzz/regressions/${name}")
        set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 60 LABELS fuzz)
    endif()
    set_target_properties(fuzz_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    target_link_libraries(fuzz_${name} PRIVATE sealpost_flags ${FUZZ_LIBRARIES})
    foreach(room IN LISTS FUZZ_ROOMS)
        target_link_libraries(fuzz_${name} PRIVATE sealpost_${room})
    endforeach()
endfunction()
