/// Small files, whole: read with a bound, replaced atomically.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/errno.h"
#include "daemon/control/failure.h"

namespace holdfast::daemon {

/// The whole file. EFBIG when it is larger than `bytes_max`; EINVAL when it is not a regular file.
[[nodiscard]] OrErrno<std::string> read_file(const std::string& path, std::size_t bytes_max);

/// Writes beside the file, syncs, renames over it, syncs the directory: after a crash there is the
/// old file or the new one.
[[nodiscard]] OrErrno<void> replace_file(const std::string& path, std::string_view contents,
                                         mode_t mode);

/// All of it, to a file, a pipe or a device.
[[nodiscard]] OrErrno<void> write_all(int fd, std::string_view text);

/// Writes a file anew, without waiting for the disk: after a crash it may be cut.
[[nodiscard]] OrErrno<void> write_file(const std::string& path, std::string_view contents,
                                       mode_t mode);

/// A directory and its parents, like mkdir -p; one that is there already is fine.
[[nodiscard]] OrErrno<void> make_directories(const std::string& path, mode_t mode);

/// A CHAP secret from a file that nobody else may read: regular, owned by us or root, no bits of
/// group or others. One line end at the end does not count. 1..255 bytes.
[[nodiscard]] OrFailure<std::string> read_secret_file(const std::string& path);

}  // namespace holdfast::daemon
