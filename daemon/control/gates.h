/// The classifiers that control has loaded, one for each network interface that attachments use.
/// Control has them loaded (loader_message.h) and shows what they do; their descriptors also stay
/// with the supervisor and the I/O processes, so that a new control process finds them again.
/// docs/classifier.md.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/failure.h"
#include "daemon/control/settings.h"
#include "daemon/control/wire.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/gate.h"
#include "netpath/classifier/table.h"

namespace holdfast::daemon {

/// One interface's. It stays attached until the last process that has it ends.
struct Gate {
    GateSpec spec;
    GateFiles files;
    /// False: it is there for the reserved path alone, and nobody asked it to drop anything.
    bool drops = true;
    netpath::classifier::ClassifierTable table;
};

/// See the file comment.
class Gates {
public:
    /// `loader`: seqpacket socket to holdfast-loader, not owned; -1: there is none.
    explicit Gates(int loader) : loader_(loader) {}

    /// The gate for an attachment to these portals; empty when none is wanted, or none can be had
    /// and none is demanded: then `spec` says why. Sets spec.gate, and spec.path: the reserved path
    /// demands one, and "auto" takes the kernel's.
    [[nodiscard]] OrFailure<std::shared_ptr<Gate>> gate_for(const AttachSettings& settings,
                                                            AttachSpec& spec);
    /// One that an earlier control process loaded; nothing when the descriptors are none.
    [[nodiscard]] std::shared_ptr<Gate> adopt(GateFiles files);
    /// Takes in addresses that the interfaces have been given.
    void look_at_addresses();

    /// Those that are in use, in no order.
    [[nodiscard]] std::vector<std::shared_ptr<Gate>> all() const;

private:
    [[nodiscard]] std::shared_ptr<Gate> find(std::uint32_t interface_index) const;
    [[nodiscard]] OrFailure<std::shared_ptr<Gate>> load(const GateSpec& where, GateWish wish,
                                                        bool may_be_generic);

    int loader_;
    std::vector<std::weak_ptr<Gate>> gates_;
};

/// "auto", "on", "off".
[[nodiscard]] std::string_view to_text(netpath::classifier::PressureMode mode) noexcept;
[[nodiscard]] std::optional<netpath::classifier::PressureMode> pressure_mode_from(
    std::string_view text) noexcept;

/// Everything about one gate; docs/classifier.md describes the keys.
[[nodiscard]] Json gate_json(const Gate& gate, Instant now);

}  // namespace holdfast::daemon
