holdfast_fuzzer(fuzz_steer SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/steer/decide.fuzz.cc
    DEPENDS netpath_steer steer_packets)
