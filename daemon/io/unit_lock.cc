#include "daemon/io/unit_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::daemon {

namespace {

constexpr const char* kRunFolder = "/run/holdfast";
constexpr const char* kFolder = "/run/holdfast/units";
constexpr std::string_view kPrefix = "/run/holdfast/units/";

/// FNV-1a, 64 bits: two units in one file would only be refused beside each other.
class Fingerprint {
public:
    void take(std::string_view text) noexcept {
        for (const char c : text) take_byte(static_cast<unsigned char>(c));
        take_byte(0);
    }
    void take(std::uint64_t number) noexcept {
        for (int i = 0; i < 8; ++i) take_byte(static_cast<unsigned char>(number >> (8 * i)));
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

private:
    void take_byte(unsigned char byte) noexcept { value_ = (value_ ^ byte) * 0x100000001b3ULL; }
    std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

std::array<char, 64> path_of(const AttachSpec& spec) noexcept {
    Fingerprint print;
    print.take(spec.session.initiator_name.view());
    print.take(spec.session.target_name.view());
    print.take(spec.session.isid.raw());
    print.take(spec.session.lun.raw());
    std::array<char, 64> path{};
    kPrefix.copy(path.data(), kPrefix.size());
    const auto rest = std::span{path}.subspan(kPrefix.size());
    std::to_chars(&rest.front(), &rest.back(), print.value(), 16);
    return path;
}

}  // namespace

OrErrno<UniqueFd> lock_unit(const AttachSpec& spec) noexcept {
    constexpr mode_t kRunMode = 0755;
    constexpr mode_t kPrivate = 0700;
    ::mkdir(kRunFolder, kRunMode);
    if (::mkdir(kFolder, kPrivate) != 0 && errno != EEXIST) return UniqueFd{};
    const auto path = path_of(spec);
    UniqueFd made{::open(path.data(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kPrivate)};
    if (!made) return UniqueFd{};
    if (::flock(made.get(), LOCK_EX | LOCK_NB) == 0) return made;
    if (errno == EWOULDBLOCK) return std::unexpected(Errno{EBUSY});
    return std::unexpected(Errno::last());
}

}  // namespace holdfast::daemon
