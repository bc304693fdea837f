/// What the classifier is told about a session's packets. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "netpath/wire/address.h"
#include "netpath/wire/ethernet.h"

namespace holdfast::netpath::steer {

/// Who receives a flow's packets.
enum class FlowPath : std::uint8_t {
    Kernel,  ///< The kernel's TCP: they pass, whatever else is dropped.
    Socket,  ///< Our own TCP: they go to the AF_XDP socket of the queue that they came on.
};

/// A TCP connection of a session. In `flow` a local port 0 stands for any port, and an unset local
/// address (0.0.0.0) for any address: the kernel chooses both when it connects. The remote end is
/// always named.
struct FlowRule {
    wire::Flow flow{};
    FlowPath path = FlowPath::Kernel;
    /// Empty: in any VLAN or none. 0: untagged only. A network card that strips the tags hides
    /// them.
    std::optional<wire::VlanId> vlan{};
    constexpr bool operator==(const FlowRule&) const noexcept = default;
};

}  // namespace holdfast::netpath::steer
