holdfast_fuzzer(fuzz_scsi
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/scsi/fuzz_scsi.cc
    DEPENDS initiator_scsi)
