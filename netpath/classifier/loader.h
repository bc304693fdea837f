/// Loads the classifier and attaches it to an interface. Effectful, with libbpf: it allocates and
/// blocks for some ten milliseconds, so it is for a process that may, never for an armed one.
///
/// Nothing is pinned. The program stays attached as long as a descriptor of its link is open
/// anywhere, so that the death of all processes detaches it; and when they live but hang, the lease
/// in the table runs out.
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "base/errno.h"
#include "base/unique_fd.h"

namespace holdfast::netpath::classifier {

/// Where in the receive path the program runs.
enum class XdpMode : std::uint8_t {
    Native,   ///< In the driver, before packet memory is allocated.
    Generic,  ///< Behind it: the kernel allocates first. No protection of memory.
};

enum class XdpWish : std::uint8_t { Native, Generic, Any };

/// The events of the kernel by which pressure is known.
struct ReclaimEvents {
    const char* begin = "mm_vmscan_direct_reclaim_begin";  ///< A task that needs memory frees some.
    const char* end = "mm_vmscan_direct_reclaim_end";      ///< It is done.
    const char* over = "mm_vmscan_kswapd_sleep";           ///< There is enough again.
};

struct ClassifierWish {
    unsigned interface_index = 0;
    XdpWish mode = XdpWish::Any;  ///< Any: native where the driver has it.
    ReclaimEvents reclaim_events{};
};

/// What there is after loading: descriptors and facts read back from the kernel.
struct Classifier {
    static constexpr std::size_t kEvents = 3;

    UniqueFd shared;   ///< For ClassifierTable::map().
    UniqueFd sockets;  ///< For put_socket().
    UniqueFd program;  ///< For test runs; may be closed.
    /// For test runs: what runs at each of the events.
    std::array<UniqueFd, kEvents> event_programs{};
    UniqueFd link;                           ///< Attached as long as it is open.
    std::array<UniqueFd, kEvents> events{};  ///< All or none.
    XdpMode mode = XdpMode::Generic;

    /// The kernel's reclaim reports. If not, pressure must come from PSI.
    [[nodiscard]] bool hears_reclaim() const noexcept { return static_cast<bool>(events[0]); }
};

/// What failed, in the order in which it is done.
enum class LoadStep : std::uint8_t {
    Load,     ///< The kernel refuses the programs or maps. EPERM: not root.
    Attach,   ///< EBUSY: another XDP program is there. EOPNOTSUPP: no native mode in this driver.
    ReadBack  ///< The interface shows another program than ours.
};
struct LoadFailure {
    LoadStep step = LoadStep::Load;
    Errno error{0};
};

/// Loads the object that is part of this program. Not attached yet when `interface_index` is 0.
[[nodiscard]] std::expected<Classifier, LoadFailure> load_classifier(
    const ClassifierWish& wish) noexcept;

}  // namespace holdfast::netpath::classifier
