holdfast_fuzzer(fuzz_config
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/control/fuzz_config.cc
    DEPENDS daemon_control)
holdfast_fuzzer(fuzz_control_message
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/control/fuzz_control_message.cc
    DEPENDS daemon_control)
holdfast_fuzzer(fuzz_url
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/control/fuzz_url.cc
    DEPENDS daemon_control)
holdfast_fuzzer(fuzz_request
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/control/fuzz_request.cc
    DEPENDS daemon_control)
