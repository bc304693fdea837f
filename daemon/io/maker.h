/// The maker: the one process of ours that starts others. The supervisor asks it in messages of a
/// fixed size, which name no program and no path; so the supervisor itself can have a filter that
/// knows neither fork nor execve, and no child inherits that filter.
///
/// What it makes are children of the supervisor (CLONE_PARENT): who reaps, kills and judges them
/// is as if it had forked them itself.
///
/// It ends with the supervisor. When it dies, nothing new can be made: what serves goes on, and a
/// standby that stands can still take over; see docs/watchdog.md.
///
/// Timer: kPatience, for an answer.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/errno.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/control_message.h"
#include "reserve/process_plan.h"
#include "reserve/raised_setting.h"

namespace holdfast::daemon {

/// What the maker knows from its start.
struct MakerPrograms {
    const char* control = nullptr;
    const char* own = nullptr;     ///< Where our own stood at the start: what an upgrade starts.
    const char* loader = nullptr;  ///< Null: no classifier can be had.
    /// What control gets behind its own options: the command line of holdfastd.
    std::span<char* const> control_arguments;
    bool lock_down = true;
    reserve::ImageFacts image;
};

/// What is to be made.
enum class MakeKind : std::uint8_t {
    Control,         ///< Descriptors: its end of the supervisor's socket, and of the loader's.
    Loader,          ///< Descriptor: its end of control's socket.
    IoProcess,       ///< Descriptors: in the order of IoInheritance, the classifier's last.
    DeviceBurial,    ///< Removes a ublk device, and waits for whoever has it open.
    DeviceSettings,  ///< Sets up the queue of a ublk device, and announces it to udev.
};
inline constexpr std::uint8_t kMakeKindCount = 5;

/// Descriptors of one request: those of an I/O process.
inline constexpr std::size_t kMakeFdsMax = 5 + GateFiles::kCount;
static_assert(kMakeFdsMax <= kMessageFdsMax);

/// One request. Both sides are of the same program.
struct MakeRequest {
    static constexpr std::uint32_t kMagic = 0x48'46'4d'4b;  // "HFMK"

    std::uint32_t magic = kMagic;
    std::uint32_t number = 0;  ///< Comes back.
    MakeKind kind{};
    std::uint8_t succeeds = 0;
    std::uint8_t is_of_program = 0;  ///< Start the program that stands at MakerPrograms::own now.
    std::uint16_t depth = 0;         ///< DeviceSettings.
    std::int32_t device = -1;        ///< IoProcess: to be recovered. Device...: which.
    std::uint32_t attachment = 0;
    reserve::SettingState kernel_reserve{};
    /// Of the descriptors, which are there; they come in this order without gaps.
    std::array<std::uint8_t, kMakeFdsMax> has{};
    AttachSpec spec{};  ///< IoProcess.
};
static_assert(std::is_trivially_copyable_v<MakeRequest>);

/// The answer.
struct MakeReply {
    std::uint32_t number = 0;
    std::int32_t pid = 0;
    std::int32_t error = 0;  ///< errno of the fork; 0: made.
};

/// See the file comment. The supervisor's side; its thread.
class Maker {
public:
    static constexpr Duration kPatience = Duration::from_s(2);

    /// `patience`: another one in tests.
    explicit Maker(Duration patience = kPatience) noexcept : patience_(patience) {}
    Maker(const Maker&) = delete;
    Maker& operator=(const Maker&) = delete;

    /// Forks it, before the caller locks its memory and gives up anything.
    [[nodiscard]] OrErrno<void> start(const MakerPrograms& programs) noexcept;

    /// Makes a process; `fds` stand at the places of MakeRequest::has, -1 for none. ESRCH: the
    /// maker is gone. ETIMEDOUT: it does not answer; what it makes later is killed.
    [[nodiscard]] OrErrno<pid_t> make(MakeRequest request, std::span<const int> fds) noexcept;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// It has ended.
    void on_gone() noexcept;

private:
    [[nodiscard]] OrErrno<MakeReply> hear(Instant until) noexcept;

    Duration patience_;
    pid_t pid_ = 0;
    UniqueFd socket_;
    std::uint32_t last_number_ = 0;
};

/// The maker's own side, for ever.
[[noreturn]] void run_maker(const MakerPrograms& programs, UniqueFd socket) noexcept;

}  // namespace holdfast::daemon
