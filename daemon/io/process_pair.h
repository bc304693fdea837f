/// The two I/O processes of one attachment, as the supervisor holds them: what they inherit, their
/// beginnings, their ends, and the orders that watchdog::Pair decides on. docs/watchdog.md.
///
/// Nothing here waits, and between the death of an active and the order to its standby nothing
/// allocates: two words in shared memory, and an eventfd.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "base/errno.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "daemon/io/maker.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/shared_area.h"
#include "netpath/classifier/table.h"
#include "reserve/raised_setting.h"
#include "watchdog/supervise/care.h"
#include "watchdog/supervise/heartbeat_watch.h"
#include "watchdog/supervise/pair.h"

namespace holdfast::daemon {

/// What is the same for all attachments.
struct PairContext {
    Maker* maker = nullptr;
    reserve::SettingState kernel_reserve{};  ///< See IoInheritance.
};

/// "/dev/ublkbN", with its zero.
[[nodiscard]] std::array<char, 32> ublk_path(std::int32_t id) noexcept;

/// See the file comment. Thread: the supervisor's.
class ProcessPair {
public:
    ProcessPair() noexcept = default;
    ProcessPair(const ProcessPair&) = delete;
    ProcessPair& operator=(const ProcessPair&) = delete;

    /// Makes what both processes inherit. Only when !is_used(); after a failure forget() it. EBUSY:
    /// a process that an earlier supervisor left behind serves this unit.
    [[nodiscard]] OrErrno<void> open(AttachmentId id, const AttachSpec& spec,
                                     GateFiles gate = {}) noexcept;
    /// Has the first active made.
    [[nodiscard]] OrErrno<void> start(const PairContext& context) noexcept;
    /// Lets go of everything; a standby is killed, an active goes on without us.
    void forget() noexcept;

    [[nodiscard]] bool is_used() const noexcept { return is_used_; }
    [[nodiscard]] AttachmentId id() const noexcept { return id_; }
    [[nodiscard]] const AttachSpec& spec() const noexcept { return spec_; }
    [[nodiscard]] pid_t active_pid() const noexcept { return active_.pid; }
    [[nodiscard]] bool owns(pid_t pid) const noexcept {
        return is_used_ && pid > 0 && (pid == active_.pid || pid == standby_.pid);
    }
    /// For control: the shared area, and its end of the command socket.
    [[nodiscard]] int area() const noexcept { return area_.get(); }
    [[nodiscard]] int control_end() const noexcept { return control_end_.get(); }
    [[nodiscard]] const GateFiles& gate() const noexcept { return gate_; }
    /// There is a classifier, and no reclaim event tells it about pressure.
    [[nodiscard]] bool needs_pressure_notes() const noexcept { return gate_table_.is_mapped(); }
    /// Pressure that was seen otherwise, until then.
    void note_pressure(Instant until) const noexcept {
        if (needs_pressure_notes()) gate_table_.note_pressure(until);
    }
    /// Whether the kernel's reserve has to cover it: until its path was read back as zero copy.
    [[nodiscard]] bool needs_kernel_reserve() const noexcept;
    /// The ublk device that a process of ours made, or -1.
    [[nodiscard]] std::int32_t ublk_id() const noexcept { return device_; }
    /// The same, after looking whether one was made meanwhile.
    [[nodiscard]] std::int32_t learn_device() noexcept;
    /// The process that sets the device up, 0 for none: one at a time, however often control asks.
    [[nodiscard]] pid_t settling_pid() const noexcept { return settling_pid_; }
    void set_settling(pid_t pid) noexcept { settling_pid_ = pid; }
    /// Nobody serves, and requests wait.
    [[nodiscard]] bool is_holding() const noexcept {
        return pair_.state().active == watchdog::ActivePhase::Holding;
    }

    /// What may be said of it to those who watch us.
    [[nodiscard]] watchdog::Care care(Instant own, bool can_make) const noexcept {
        return watchdog::care_of({.state = pair_.state(),
                                  .was_killed = active_.was_silent,
                                  .since_kill = own - active_.killed_at,
                                  .can_make = can_make});
    }

    /// One of them has ended. True: the attachment has, too; the caller forgets it.
    [[nodiscard]] bool on_exit(pid_t pid, int status, Instant own,
                               const PairContext& context) noexcept;
    /// Judges heartbeats, takes claims, makes standbys. `now`: CLOCK_MONOTONIC.
    void on_look(const watchdog::Look& look, const PairContext& context) noexcept;

    /// Replaces both processes by the program that stands where our own did: a standby of
    /// it is made, and takes over. Told in the watch block; nothing when one is under way.
    void begin_upgrade() noexcept;

    /// It is being detached by us: no death is answered with a successor any more.
    void order_detach(bool hurry) noexcept;
    void kill_all() const noexcept;
    [[nodiscard]] bool is_in_use() const noexcept;

private:
    struct Process {
        pid_t pid = 0;
        bool was_silent = false;  ///< We killed it.
        Instant killed_at{};      ///< Then; own time.
        bool is_new = false;      ///< Of the new program.
        watchdog::HeartbeatWatch watch{};
    };

    [[nodiscard]] watchdog::WatchBlock& block() const noexcept { return shared_.area().watch; }
    [[nodiscard]] std::uint64_t active_beats() const noexcept;
    [[nodiscard]] bool wants_standby() const noexcept;
    void replace_active() noexcept;
    void judge_upgrade(std::int64_t pause_ns) noexcept;
    void fail_upgrade() noexcept;
    [[nodiscard]] watchdog::Death death_of(const Process& process, int status) const noexcept;
    [[nodiscard]] OrErrno<pid_t> make_io(const PairContext& context, bool stands_by,
                                         bool succeeds) noexcept;
    void judge(Process& process, const watchdog::Look& look, std::uint64_t beats) noexcept;
    void take_claims(const watchdog::Look& look) noexcept;
    void carry_out(watchdog::PairOrder order, Instant own, const PairContext& context) noexcept;
    void make_standby(Instant own, const PairContext& context) noexcept;
    void hand_over(Instant own) noexcept;
    void succeed(Instant own, const PairContext& context) noexcept;
    void publish() const noexcept;

    bool is_used_ = false;
    AttachmentId id_{};
    AttachSpec spec_;
    bool is_stopping_ = false;
    bool is_upgrading_ = false;
    bool uses_program_ = false;  // New standbys are of the new program.
    watchdog::Pair pair_;
    Process active_;
    Process standby_;
    std::int32_t device_ = -1;
    pid_t settling_pid_ = 0;
    Instant died_at_ = Instant::never();  // The last active; CLOCK_MONOTONIC.
    SharedMapping shared_;
    UniqueFd area_;
    UniqueFd control_end_;
    UniqueFd io_end_;
    UniqueFd listener_;  // Nbd.
    UniqueFd order_;
    UniqueFd lock_;  // See unit_lock.h.
    GateFiles gate_;
    netpath::classifier::ClassifierTable gate_table_;  // Mapped only for notes.
};

}  // namespace holdfast::daemon
