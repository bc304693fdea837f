/// How anything on the control side fails: an exit code for scripts and one sentence for people,
/// which says what to do next.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>

namespace holdfast::daemon {

/// Exit codes of `holdfast`. Documented in docs/operating.md; numbers never change their meaning.
enum class ExitCode : std::uint8_t {
    Ok = 0,
    Failed = 1,          ///< Anything that has no code of its own.
    Usage = 2,           ///< Options, URL or configuration.
    Authentication = 3,  ///< The target refused us, or did not prove itself.
    NotFound = 4,        ///< No such target, LUN, attachment or file.
    Unreachable = 5,     ///< Name resolution, connection refused, or no answer.
    Protocol = 6,        ///< The peer does not speak iSCSI as RFC 7143 has it.
    Mismatch = 7,        ///< verify: data read differ from data written.
    NoDaemon = 8,        ///< holdfastd does not run.
    NotPermitted = 9,    ///< Needs root, or file permissions are wrong.
    TierTooLow = 10,     ///< The machine cannot promise what the profile needs.
    Exists = 11,         ///< The name is taken, or the attachment is busy.
    Timeout = 12,        ///< It did not happen in the time given.
    DeviceError = 13,    ///< The logical unit reported an error.
};
inline constexpr std::uint8_t kExitCodeCount = 14;

/// The exit code for a number that came over the control socket.
[[nodiscard]] constexpr std::optional<ExitCode> exit_code_from(std::uint64_t number) noexcept {
    if (number >= kExitCodeCount) return {};
    return static_cast<ExitCode>(number);
}

struct Failure {
    ExitCode code = ExitCode::Failed;
    std::string sentence;
};

template <class T>
using OrFailure = std::expected<T, Failure>;

/// For `return fail(...)`.
[[nodiscard]] inline std::unexpected<Failure> fail(ExitCode code, std::string sentence) {
    return std::unexpected{Failure{.code = code, .sentence = std::move(sentence)}};
}

}  // namespace holdfast::daemon
