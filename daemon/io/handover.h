/// How an I/O process of another program comes about: the supervisor's child puts what it would
/// inherit into a memfd, and starts the program that stands where the supervisor's own was. Both
/// sides may be of different releases, so the first words say which.
#pragma once

#include <cstdint>

#include "base/errno.h"
#include "daemon/io/io_process.h"
#include "daemon/shared/attach_spec.h"

namespace holdfast::daemon {

/// The option in front of the memfd's number.
inline constexpr const char* kIoProcessOption = "--io-process";

/// In a child of the supervisor: becomes `program`. Comes back only when that fails.
void exec_io_process(const char* program, const AttachSpec& spec,
                     IoInheritance inheritance) noexcept;

struct IoHandover {
    AttachSpec spec;
    IoInheritance inheritance;  ///< Without the image, which the new program measures itself.
};

/// In the new program. EPROTO: of a release that this one does not understand; EINVAL: damaged.
[[nodiscard]] OrErrno<IoHandover> take_handover(int fd) noexcept;

}  // namespace holdfast::daemon
