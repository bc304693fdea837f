#include "daemon/io/handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "daemon/io/child.h"
#include "daemon/shared/status_block.h"

namespace holdfast::daemon {

namespace {

/// As it lies in the memfd; descriptors are numbers, -1 for none.
struct Handed {
    static constexpr std::uint64_t kMagic = 0x68'66'68'61'6e'64'65'64;  // "hfhanded"
    static constexpr std::uint32_t kVersion = 2;

    std::uint64_t magic = kMagic;
    std::uint32_t version = kVersion;
    std::uint32_t bytes = 0;  ///< Of this object.
    std::uint64_t area_version = StatusBlock::kVersion;
    std::int32_t area = -1;
    std::int32_t command = -1;
    std::int32_t listener = -1;
    std::int32_t order = -1;
    std::int32_t lock = -1;
    std::array<std::int32_t, GateFiles::kCount> gate{};
    std::uint32_t attachment = 0;
    std::int32_t recover_ublk_id = -1;
    reserve::SettingState kernel_reserve;
    AttachSpec spec;
};
static_assert(std::is_trivially_copyable_v<Handed>);

/// It stays open beyond execve.
int keep(int fd) noexcept {
    if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
    return fd;
}

UniqueFd write_down(const Handed& handed) noexcept {
    UniqueFd made{::memfd_create("holdfast-handover", 0)};
    const auto bytes = std::as_bytes(std::span{&handed, 1});
    if (::write(made.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        return {};
    return made;
}

}  // namespace

void exec_io_process(const char* program, const AttachSpec& spec,
                     IoInheritance inheritance) noexcept {
    Handed handed;
    handed.bytes = sizeof(handed);
    handed.area = keep(inheritance.area.get());
    handed.command = keep(inheritance.command.get());
    handed.listener = keep(inheritance.listener.get());
    handed.order = keep(inheritance.order.get());
    handed.lock = keep(inheritance.lock.get());
    std::ranges::transform(inheritance.gate.all, handed.gate.begin(),
                           [](const UniqueFd& fd) { return keep(fd.get()); });
    handed.attachment = inheritance.attachment;
    handed.recover_ublk_id = inheritance.recover_ublk_id;
    handed.kernel_reserve = inheritance.kernel_reserve;
    handed.spec = spec;
    const UniqueFd memory = write_down(handed);
    if (!memory) return;
    std::array<char, 12> number{};
    std::to_chars(number.begin(), number.end(), memory.get());
    std::array<char, 10> name{"holdfastd"};
    std::array<char, std::string_view{kIoProcessOption}.size() + 1> option{};
    std::ranges::copy(std::string_view{kIoProcessOption}, option.begin());
    std::array<char*, 4> words{name.data(), option.data(), number.data(), nullptr};
    ::execve(program, words.data(), ::environ);
}

OrErrno<IoHandover> take_handover(int fd) noexcept {
    const UniqueFd memory{fd};
    Handed handed;
    const auto bytes = std::as_writable_bytes(std::span{&handed, 1});
    const ssize_t got = ::pread(memory.get(), bytes.data(), bytes.size(), 0);
    if (got < 0) return std::unexpected(Errno::last());
    if (got < static_cast<ssize_t>(offsetof(Handed, area)) || handed.magic != Handed::kMagic)
        return std::unexpected(Errno{EINVAL});
    if (handed.version != Handed::kVersion || handed.area_version != StatusBlock::kVersion ||
        handed.bytes != sizeof(handed))
        return std::unexpected(Errno{EPROTO});
    if (got != static_cast<ssize_t>(sizeof(handed)) || !check(handed.spec))
        return std::unexpected(Errno{EINVAL});
    IoHandover taken{.spec = handed.spec, .inheritance = {}};
    taken.inheritance.area = UniqueFd{handed.area};
    taken.inheritance.command = UniqueFd{handed.command};
    taken.inheritance.listener = UniqueFd{handed.listener};
    taken.inheritance.order = UniqueFd{handed.order};
    taken.inheritance.lock = UniqueFd{handed.lock};
    std::ranges::transform(handed.gate, taken.inheritance.gate.all.begin(),
                           [](std::int32_t number) { return UniqueFd{number}; });
    taken.inheritance.attachment = handed.attachment;
    taken.inheritance.recover_ublk_id = handed.recover_ublk_id;
    taken.inheritance.kernel_reserve = handed.kernel_reserve;
    return taken;
}

}  // namespace holdfast::daemon
