/// The question "SendTargets=All" and its answer. RFC 7143 appendix C.
///
/// The answer may be as long as the target likes and be cut anywhere: the parser keeps one pair and
/// the current target name, nothing else. The caller decides how many findings it keeps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/fixed_vector.h"
#include "initiator/login/name.h"
#include "initiator/login/target_address.h"
#include "initiator/login/text.h"

namespace holdfast::initiator {

/// Bytes of one answer, all responses together: some hundred thousand targets.
inline constexpr std::size_t kSendTargetsBytesMax = 16U << 20;

/// Writes the question for a discovery session: every target that we may see.
void write_send_targets_all(TextOut& out) noexcept;
/// Writes the question for one target.
void write_send_targets(TextOut& out, std::string_view target_name) noexcept;

/// One target at one address; or a target without any address, which is to be reached where the
/// discovery session went.
struct Finding {
    IscsiName target{};  ///< As the target wrote it, so that it can be sent back byte for byte.
    std::optional<TargetAddress> address{};
};

/// Why an answer cannot be used further; what was found so far is good.
enum class SendTargetsError : std::uint8_t {
    None,
    TextMalformed,       // 6.1: a pair without "=", or the end within a pair.
    AddressWithoutName,  // App. C: a record begins with TargetName.
    TooLong,             // Our limit, kSendTargetsBytesMax.
};

/// Takes the data segments of the Text Responses in turn:
///
///   for each response:  while (auto finding = parser.poll(data)) use(*finding);
///   after the last one: if (auto finding = parser.finish()) use(*finding);
///
/// Illegal names with their addresses, illegal addresses, keys other than the two, and over-long
/// pairs are left out and counted.
class SendTargetsParser {
public:
    /// Eats from the front of `data` up to the next finding; no finding: all of it is eaten.
    [[nodiscard]] std::optional<Finding> poll(std::span<const std::byte>& data) noexcept;
    /// The answer is complete. May bring a last finding; afterwards error() is final.
    [[nodiscard]] std::optional<Finding> finish() noexcept;

    [[nodiscard]] SendTargetsError error() const noexcept { return error_; }
    /// Pairs that were left out.
    [[nodiscard]] std::uint32_t ignored_count() const noexcept { return ignored_; }

private:
    /// Longest pair that can matter: TargetAddress= with a host of 255, port and tag.
    static constexpr std::size_t kPairBytesMax = 320;
    /// What we know of the record that is being read.
    enum class Record : std::uint8_t { None, Illegal, WithoutAddress, WithAddress };

    [[nodiscard]] std::optional<Finding> end_pair() noexcept;
    [[nodiscard]] std::optional<Finding> take_record_end() noexcept;
    [[nodiscard]] std::optional<Finding> take_name(std::string_view name) noexcept;
    [[nodiscard]] std::optional<Finding> take_address(std::string_view address) noexcept;

    FixedString<kPairBytesMax> pair_;
    bool is_overlong_ = false;
    Record record_ = Record::None;
    IscsiName target_;
    std::size_t bytes_ = 0;
    std::uint32_t ignored_ = 0;
    SendTargetsError error_ = SendTargetsError::None;
};

}  // namespace holdfast::initiator
