#include "base/unique_fd.h"

#include <unistd.h>

namespace holdfast {

void UniqueFd::reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace holdfast
