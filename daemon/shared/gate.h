/// The classifier's part in an attachment: what control tells the I/O process about it, and the
/// descriptors that keep it attached. Control loads it, because loading allocates and blocks; the
/// supervisor keeps the descriptors and hands them to each I/O process, so that it outlives any one
/// process. docs/classifier.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "base/fixed_vector.h"
#include "base/unique_fd.h"

namespace holdfast::daemon {

/// How the classifier stands in front of the attachment's interface.
enum class GateState : std::uint8_t {
    NotWanted,
    Native,   ///< In the driver: what it drops never costs memory.
    Generic,  ///< Behind the driver, as the operator insisted.
    Missing,  ///< Wanted, and not there.
};
inline constexpr std::uint8_t kGateStateCount = 4;

/// Part of AttachSpec. Read back from the kernel when it was loaded.
struct GateSpec {
    GateState state = GateState::NotWanted;
    std::uint32_t interface_index = 0;
    FixedString<15> interface;
    FixedString<63> refusal;  ///< Missing: why.
};

/// Descriptors, in the order in which they travel. None of them, or all, or all but
/// the events.
struct GateFiles {
    static constexpr std::size_t kCount = 6;
    static constexpr std::size_t kShared = 0;   ///< classifier::ClassifierTable::map().
    static constexpr std::size_t kSockets = 1;  ///< classifier::put_socket().
    static constexpr std::size_t kLink = 2;     ///< Attached as long as it is open.
    static constexpr std::size_t kEvents = 3;   ///< All three reclaim events, or none.

    std::array<UniqueFd, kCount> all{};

    [[nodiscard]] bool has_any() const noexcept { return static_cast<bool>(all[kShared]); }
    /// As numbers, for sending or keeping; those that are there stand first.
    [[nodiscard]] FixedVector<int, kCount> numbers() const noexcept { return numbers_of<0>(); }
    /// The same with room for more.
    template <std::size_t More>
    [[nodiscard]] FixedVector<int, kCount + More> numbers_of() const noexcept {
        FixedVector<int, kCount + More> found;
        for (const UniqueFd& fd : all)
            if (fd) found.push(fd.get());
        return found;
    }
    /// Out of descriptors as they came.
    [[nodiscard]] static GateFiles taken_from(std::span<UniqueFd> fds) noexcept {
        GateFiles files;
        for (std::size_t i = 0; i < kCount && i < fds.size(); ++i)
            std::span{files.all}[i] = std::move(fds[i]);
        return files;
    }
};

}  // namespace holdfast::daemon
