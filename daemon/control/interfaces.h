/// Which network interface leads to a portal, and which addresses it has. Asks the kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/failure.h"
#include "netpath/wire/address.h"

namespace holdfast::daemon {

struct Interface {
    std::string name;
    std::uint32_t index = 0;
};

/// `host`: a numeric address. By the routes of this moment.
[[nodiscard]] OrFailure<Interface> interface_towards(std::string_view host);
[[nodiscard]] OrFailure<Interface> interface_named(const std::string& name);
[[nodiscard]] std::vector<netpath::wire::IpAddress> addresses_of(const std::string& interface);

}  // namespace holdfast::daemon
