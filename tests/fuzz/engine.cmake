holdfast_fuzzer(fuzz_engine
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/engine.fuzz.cc "${PROJECT_SOURCE_DIR}/tests/sim/wire.cc"
    DEPENDS initiator)
