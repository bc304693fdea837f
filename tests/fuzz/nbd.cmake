holdfast_fuzzer(fuzz_nbd
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/nbd/fuzz_nbd.cc
    DEPENDS daemon_export)
