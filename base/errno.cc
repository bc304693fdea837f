#include "base/errno.h"

#include <cstring>

namespace holdfast {

const char* Errno::text() const noexcept {
    const char* known = ::strerrordesc_np(code_);
    return known != nullptr ? known : "unknown error";
}

}  // namespace holdfast
