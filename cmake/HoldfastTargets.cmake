# The one place for flags: every library, program and test of Holdfast is made by the functions here.
include(CheckCXXCompilerFlag)

find_program(HF_CCACHE ccache)
if(HF_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${HF_CCACHE}")
    if(HF_QUICK)
        # ccache refuses what uses a precompiled header unless it is told that macros and times are
        # safe: no source here depends on __DATE__, and the macros that a header tests are in
        # holdfast_flags.
        set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros "${HF_CCACHE}")
    endif()
    set(CMAKE_C_COMPILER_LAUNCHER "${HF_CCACHE}")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

add_library(holdfast_flags INTERFACE)
target_include_directories(holdfast_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(holdfast_flags INTERFACE
    -Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
    -Wswitch-enum -Wimplicit-fallthrough -Wvla -Wundef -Wnon-virtual-dtor
    -Woverloaded-virtual
    -fstack-protector-strong -fstack-clash-protection -fcf-protection
    -ftrivial-auto-var-init=pattern -fno-omit-frame-pointer
    # Every object ends in a program, and a precompiled header serves only one model of code.
    -fPIE)
target_compile_definitions(holdfast_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(holdfast_flags INTERFACE -Wunsafe-buffer-usage
        -Wno-unsafe-buffer-usage-in-container)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo" AND NOT HF_SANITIZE AND NOT HF_QUICK)
    target_compile_options(holdfast_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(HF_SLOW_ASSERTS)
    target_compile_definitions(holdfast_flags INTERFACE HF_SLOW_ASSERTS=1)
endif()
if(HF_SANITIZE)
    target_compile_options(holdfast_flags INTERFACE -fsanitize=${HF_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(holdfast_flags INTERFACE -fsanitize=${HF_SANITIZE})
    target_compile_definitions(holdfast_flags INTERFACE HF_SANITIZED=1)
endif()
if(HF_FUZZ)
    # Every library counts its branches, or the fuzzer sees only its own file.
    target_compile_options(holdfast_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_options(holdfast_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed)

# Control-side code and tests join std::strings; g++ 12 then warns of overlaps that cannot be
# (GCC bug 105329, mended in 13). Nor can it see through nlohmann-json's iterators, so that
# -Wnull-dereference is for the product alone.
add_library(holdfast_control_flags INTERFACE)
target_link_libraries(holdfast_control_flags INTERFACE holdfast_flags)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(holdfast_control_flags INTERFACE -Wno-restrict)
endif()

# The product has no exceptions and no RTTI; tests and the control side's libraries may.
add_library(holdfast_product_flags INTERFACE)
target_link_libraries(holdfast_product_flags INTERFACE holdfast_flags)
target_compile_options(holdfast_product_flags INTERFACE -fno-exceptions -fno-rtti
    -Wnull-dereference)

# Precompiled headers, one for each set of flags: they halve the time to compile. They also hide an
# include that is missing, and make g++ see overflows in std::string that are not there, so that only
# the quick build and the sanitizers' use them.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(holdfast_pch_options -fpch-preprocess)  # For ccache.
else()
    set(holdfast_pch_options "SHELL:-Xclang -fno-pch-timestamp")
endif()

# _holdfast_precompile(NAME "LIBRARIES" headers...): the library NAME, which owns the header. Libraries
# that define macros must be among those of the owner.
function(_holdfast_precompile name libraries)
    file(WRITE "${CMAKE_BINARY_DIR}/precompiled/${name}.cc" "")
    add_library(${name} OBJECT "${CMAKE_BINARY_DIR}/precompiled/${name}.cc")
    target_link_libraries(${name} PRIVATE ${libraries})
    target_compile_options(${name} PRIVATE ${holdfast_pch_options})
    target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

function(_holdfast_use_precompiled name owner)
    if(NOT HF_QUICK)
        return()
    endif()
    target_compile_options(${name} PRIVATE ${holdfast_pch_options})
    target_precompile_headers(${name} REUSE_FROM ${owner})
endfunction()

# Nor is there a reason to compile the same headers and templates again for each small file. All of a
# target at once, so that two of its files that define the same name are told at once, too.
if(HF_QUICK)
    set(CMAKE_UNITY_BUILD ON)
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 0)
endif()

set(holdfast_pch_standard
    <algorithm> <array> <charconv> <cstddef> <cstdint> <cstring> <expected> <optional> <span>
    <string> <string_view> <utility> <variant> <vector>)
if(HF_QUICK)
    _holdfast_precompile(holdfast_pch_product holdfast_product_flags ${holdfast_pch_standard})
    _holdfast_precompile(holdfast_pch_control holdfast_control_flags ${holdfast_pch_standard}
        <map> <memory> <fmt/format.h> <nlohmann/json.hpp>)
    _holdfast_precompile(holdfast_pch_tests "holdfast_control_flags;GTest::gmock" ${holdfast_pch_standard}
        <fstream> <map> <memory> <sstream> <thread> <gmock/gmock.h> <gtest/gtest.h>)
    # What tests compile is run once: optimising it takes longer than it saves.
    target_compile_options(holdfast_pch_tests PRIVATE -O0)
endif()

function(_holdfast_sources out)
    if(ARGN)
        set(${out} ${ARGN} PARENT_SCOPE)
    else()
        file(GLOB found CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
        set(${out} ${found} PARENT_SCOPE)
    endif()
endfunction()

# holdfast_library(NAME [CONTROL] [SOURCES f...] [DEPENDS lib...])
# Without SOURCES: every .cc of the folder; a folder with headers only becomes an INTERFACE library.
# CONTROL: control-side code, which may use libraries that throw.
function(holdfast_library name)
    cmake_parse_arguments(arg "CONTROL" "" "SOURCES;DEPENDS" ${ARGN})
    _holdfast_sources(sources ${arg_SOURCES})
    set(flags holdfast_product_flags)
    set(precompiled holdfast_pch_product)
    if(arg_CONTROL)
        set(flags holdfast_control_flags)
        set(precompiled holdfast_pch_control)
    endif()
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PRIVATE ${flags} PUBLIC ${arg_DEPENDS})
        _holdfast_use_precompiled(${name} ${precompiled})
        target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${arg_DEPENDS})
        target_include_directories(${name} INTERFACE "${PROJECT_SOURCE_DIR}")
    endif()
endfunction()

# holdfast_program(NAME [CONTROL] SOURCES f... [DEPENDS lib...])
function(holdfast_program name)
    cmake_parse_arguments(arg "CONTROL" "" "SOURCES;DEPENDS" ${ARGN})
    add_executable(${name} ${arg_SOURCES})
    if(arg_CONTROL)
        target_link_libraries(${name} PRIVATE holdfast_control_flags ${arg_DEPENDS})
        _holdfast_use_precompiled(${name} holdfast_pch_control)
    else()
        target_link_libraries(${name} PRIVATE holdfast_product_flags ${arg_DEPENDS})
        _holdfast_use_precompiled(${name} holdfast_pch_product)
    endif()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
    set_property(GLOBAL APPEND PROPERTY HF_PROGRAMS ${name})
endfunction()

# Tests may index freely; options of a source file come after those of its target, so these win.
function(_holdfast_relax)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS
        $<$<CXX_COMPILER_ID:Clang>:-Wno-unsafe-buffer-usage>)
endfunction()

# holdfast_test(NAME [TIMEOUT s] [LABELS l...] [SOURCES f...] [DEPENDS lib...])
# One GoogleTest program; every TEST in it becomes a ctest test. Default label: quick.
function(holdfast_test name)
    cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
    _holdfast_sources(sources ${arg_SOURCES})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(NOT arg_LABELS)
        set(arg_LABELS quick)
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE holdfast_control_flags ${arg_DEPENDS} GTest::gmock GTest::gtest_main)
    target_compile_definitions(${name} PRIVATE
        HF_SOURCE_DIR="${PROJECT_SOURCE_DIR}" HF_BINARY_DIR="${CMAKE_BINARY_DIR}")
    _holdfast_use_precompiled(${name} holdfast_pch_tests)
    if(HF_QUICK)
        target_compile_options(${name} PRIVATE -O0)
    endif()
    _holdfast_relax(${sources})
    include(GoogleTest)
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
        PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# holdfast_fuzzer(NAME SOURCES f... [DEPENDS lib...]): a libFuzzer program with the corpus folder
# tests/fuzz/corpus/NAME; with HF_FUZZ off the same source replays its corpus as a unit test.
function(holdfast_fuzzer name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
    if(HF_FUZZ)
        add_executable(${name} ${arg_SOURCES})
        target_link_libraries(${name} PRIVATE holdfast_flags ${arg_DEPENDS})
        target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
        _holdfast_relax(${arg_SOURCES})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        set_property(GLOBAL APPEND PROPERTY HF_FUZZERS ${name})
        set(work "${CMAKE_BINARY_DIR}/fuzz-work/${name}")
        file(MAKE_DIRECTORY "${work}")
        add_test(NAME fuzz.${name}
            COMMAND ${name} -max_total_time=${HF_FUZZ_SECONDS} -rss_limit_mb=1024 -timeout=10
                -print_final_stats=1 "-artifact_prefix=${work}/"
                "${work}" "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
        math(EXPR limit "${HF_FUZZ_SECONDS} + 120")
        set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT ${limit})
    else()
        add_executable(${name}_replay ${arg_SOURCES} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc")
        target_link_libraries(${name}_replay PRIVATE holdfast_control_flags ${arg_DEPENDS})
        _holdfast_use_precompiled(${name}_replay holdfast_pch_control)
        _holdfast_relax(${arg_SOURCES})
        add_test(NAME fuzz_replay.${name}
            COMMAND ${name}_replay "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
        set_tests_properties(fuzz_replay.${name} PROPERTIES LABELS quick TIMEOUT 120)
    endif()
endfunction()
