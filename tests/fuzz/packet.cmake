holdfast_fuzzer(fuzz_packets SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/packet/packets.fuzz.cc
    DEPENDS netpath_wire)
holdfast_fuzzer(fuzz_tcp_input
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/packet/tcp_input.fuzz.cc
        "${PROJECT_SOURCE_DIR}/tests/netpath/tcp/packet.cc"
        "${PROJECT_SOURCE_DIR}/tests/netpath/tcp/endpoint.cc"
    DEPENDS netpath_tcp)
