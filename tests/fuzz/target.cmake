holdfast_fuzzer(fuzz_target
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/target/fuzz_target.cc
    DEPENDS target_core)
