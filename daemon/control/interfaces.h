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

inline constexpr std::string_view kInterfaceFolder = "/sys/class/net";

/// Receive queues in use of all network cards together, as `folder` has them. Interfaces without a
/// device behind them, such as bridges, take in what a card has taken in. 0: none found.
[[nodiscard]] std::uint32_t receive_queues_of_host(std::string_view folder = kInterfaceFolder);

}  // namespace holdfast::daemon
