# Libraries from Debian. Static where the I/O process uses them and Debian ships an archive: what is
# not mapped need not be locked.
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

function(_holdfast_import name header)
    find_path(${name}_INCLUDE ${header} REQUIRED)
    find_library(${name}_LIBRARY NAMES ${ARGN} REQUIRED)
    add_library(holdfast::${name} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(holdfast::${name} PROPERTIES
        IMPORTED_LOCATION "${${name}_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE}")
endfunction()

_holdfast_import(uring liburing.h liburing.a uring)
_holdfast_import(jemalloc jemalloc/jemalloc.h libjemalloc_pic.a jemalloc)
_holdfast_import(seccomp seccomp.h libseccomp.a seccomp)
_holdfast_import(nettle nettle/md5.h libnettle.a nettle)
_holdfast_import(bpf bpf/libbpf.h bpf)
_holdfast_import(isal isa-l/crc.h isal)
_holdfast_import(cap_ng cap-ng.h cap-ng)
_holdfast_import(fmt fmt/format.h fmt)
find_path(HF_BOOST_INCLUDE boost/intrusive/slist.hpp REQUIRED)
add_library(holdfast_boost INTERFACE)
target_include_directories(holdfast_boost SYSTEM INTERFACE "${HF_BOOST_INCLUDE}")
