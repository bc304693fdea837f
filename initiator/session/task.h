/// One SCSI command's life, and the table of all of them. RFC 7143 sections 4.2.2, 4.2.5, 11.2.1.8.
///
/// A task slot exists for every request tag, and for every command of the probe. Everything a
/// request of maximum size can need is in its slot or sized by the number of slots, so an accepted
/// request never waits for memory (design, invariant 2).
///
/// Deadlines kept here: Task::sent_at (start of the command time-out), Task::retry_at.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/pdu/initiator_pdu.h"
#include "initiator/pdu/types.h"
#include "initiator/request.h"
#include "initiator/scsi/probe_run.h"
#include "initiator/scsi/verdict.h"
#include "initiator/session/extents.h"
#include "initiator/session/repair.h"
#include "initiator/session/sabotage.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::initiator {

enum class TaskState : std::uint8_t {
    Free,     ///< No request.
    Ready,    ///< Waits for its turn, the window, or a session.
    Sent,     ///< The command went out; the target owes an answer.
    Resting,  ///< Waits for retry_at, then becomes Ready.
    Ending,   ///< The outcome is known; the transport still holds pieces of the buffer.
    Ended,    ///< The completion waits to be polled.
};

/// Where a command that is out belongs, after its connection was lost. RFC 7143 sections 4.2.5.1
/// and 7.2.2.
enum class Allegiance : std::uint8_t {
    Settled,  ///< To the connection where it went.
    Lost,     ///< To none; it is to be sent or asked for again.
    Asked,    ///< To none; TASK REASSIGN is out.
};

/// A write that must be durable on a unit without FUA is two commands.
enum class TaskPart : std::uint8_t { Main, CacheFlush };

/// Which hook list a task is on follows from its state; it is on at most one.
struct Task {
    using Hook = boost::intrusive::list_member_hook<
        boost::intrusive::link_mode<boost::intrusive::normal_link>>;

    Task() noexcept {}  // The hook's own constructor does not say noexcept.

    Request request{};
    std::uint16_t index = 0;
    std::uint8_t conn = 0;  ///< Allegiance: where the command went. Section 4.2.5.1.
    TaskState state = TaskState::Free;
    TaskPart part = TaskPart::Main;
    Outcome outcome = Outcome::Done;
    bool is_patient = false;         ///< The long time-out applies: on TaskTable::sent_patient.
    bool force_unit_access = false;  ///< The CDB that went out carried FUA.
    bool timed_out = false;          ///< The ladder has been told, or the allegiance is lost.
    Allegiance allegiance = Allegiance::Settled;

    std::uint16_t generation = 0;
    std::uint16_t loans = 0;  ///< Pieces of the buffer that the transport holds.
    scsi::RetryCounts counts{};
    std::uint16_t short_answers = 0;  ///< GOOD with bytes missing, so far.
    std::uint64_t order = 0;          ///< Submission order.
    Instant submitted{};
    Instant sent_at{};
    Instant retry_at{};

    // Of the command that is out.
    DataDirection direction = DataDirection::None;
    std::uint32_t transfer_bytes = 0;  ///< Expected Data Transfer Length.
    std::span<std::byte> in{};         ///< Read: where the data goes.
    std::span<const std::byte> out{};  ///< Write: where it comes from.
    CmdSn cmd_sn;
    Cdb cdb{};
    Lun lun{};
    Itt reassign_itt{};          ///< Of the TASK REASSIGN that is out.
    bool renumbers_r2t = false;  ///< Reassigned: the next R2T may have any number.
    DataSn next_data_sn;
    R2tSn next_r2t_sn;
    std::uint16_t r2ts_waiting = 0;          ///< R2Ts whose data has not been handed out wholly.
    Gap gap = Gap::None;                     ///< In its data, or in its R2Ts.
    std::uint8_t snacks = 0;                 ///< For the command that is out.
    Extents received;                        ///< Read: what is in place.
    std::array<std::byte, 24> parameters{};  ///< UNMAP parameter list.

    Hook hook;

    /// PDUs for the command may come, and go, over this connection.
    [[nodiscard]] bool is_allegiant_to(std::uint8_t to) const noexcept {
        return conn == to && allegiance == Allegiance::Settled;
    }
};

using TaskList =
    boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Task::Hook, &Task::hook>,
                           boost::intrusive::constant_time_size<false>>;

/// True when executing it twice, or late, can change the unit.
[[nodiscard]] constexpr bool changes_the_unit(RequestKind kind) noexcept {
    return kind == RequestKind::Write || kind == RequestKind::Discard ||
           kind == RequestKind::WriteZeroes;
}

/// Slots 0 .. depth - 1 belong to request tags, those from `depth` on to the probe, one for each of
/// its places. Task tags beyond that belong to PDUs that are no commands.
class TaskTable {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, std::uint16_t depth) noexcept {
        plan.add_objects<Task>("task slots", std::uint64_t{depth} + scsi::ProbeRun::kPlaces,
                               "one a tag, one for each command of the probe");
    }
    TaskTable(reserve::Region& region, std::uint16_t depth) noexcept
        : tasks_(region.carve<Task>(std::size_t{depth} + scsi::ProbeRun::kPlaces)), depth_(depth) {
        for (std::uint16_t i = 0; i < tasks_.size(); ++i) tasks_[i].index = i;
    }
    TaskTable(const TaskTable&) = delete;
    TaskTable& operator=(const TaskTable&) = delete;
    ~TaskTable() {
        for (TaskList* list : {&ready, &sent_short, &sent_patient, &resting}) list->clear();
    }

    [[nodiscard]] std::uint16_t depth() const noexcept { return depth_; }
    [[nodiscard]] Task& at(std::uint16_t index) noexcept { return tasks_[index]; }
    /// Of the probe's command at this place. What else goes out in its stead uses the first.
    [[nodiscard]] Task& probe(std::uint8_t place = 0) noexcept { return probes()[place]; }
    [[nodiscard]] std::span<Task> probes() noexcept { return tasks_.subspan(depth_); }
    [[nodiscard]] bool is_probe(const Task& task) const noexcept { return task.index >= depth_; }
    [[nodiscard]] std::uint8_t place_of(const Task& probe) const noexcept {
        HF_ASSERT(is_probe(probe));
        return static_cast<std::uint8_t>(probe.index - depth_);
    }
    [[nodiscard]] bool is_slot(std::uint16_t number) const noexcept {
        return number < tasks_.size();
    }
    [[nodiscard]] std::span<Task> requests() noexcept { return tasks_.first(depth_); }

    /// The tag of the command that is out, or was last. Generation above, slot below: a late PDU
    /// for an earlier command of the slot does not match (conformance PDU-18). Never 0xffffffff,
    /// because no slot has the number 0xffff.
    [[nodiscard]] static constexpr Itt itt_of(const Task& task) noexcept {
        return Itt{(std::uint32_t{task.generation} << 16) | task.index};
    }
    [[nodiscard]] static constexpr std::uint16_t slot_of(Itt itt) noexcept {
        return static_cast<std::uint16_t>(itt.raw() & 0xffffU);
    }
    /// The task that waits for an answer with this tag, or none.
    [[nodiscard]] Task* find_sent(Itt itt) noexcept {
        const std::uint16_t slot = slot_of(itt);
        if (!is_slot(slot)) return nullptr;
        Task& task = tasks_[slot];
        const bool is_it = itt_of(task) == itt || is_sabotaged(Sabotage::StaleTag);
        return task.state == TaskState::Sent && is_it ? &task : nullptr;
    }

    /// The first command out on this connection, or lost with it, that `is_it` accepts; none.
    /// `is_it` may move the task that it is given to another state, and no other one unless it
    /// accepts.
    template <class Predicate>
    Task* find_out(std::uint8_t conn, Predicate is_it) {
        for (TaskList* const list : {&sent_short, &sent_patient}) {
            for (auto at = list->begin(); at != list->end();) {
                Task& task = *at++;
                if (task.conn == conn && is_it(task)) return &task;
            }
        }
        return nullptr;
    }
    /// The same for all of them.
    template <class Visitor>
    void for_each_out(std::uint8_t conn, Visitor visit) {
        find_out(conn, [&visit](Task& task) {
            visit(task);
            return false;
        });
    }

    /// Moves a task between states, and between the lists that go with them.
    void set_state(Task& task, TaskState to) noexcept;
    /// Becomes Ready at the place that its submission order gives it, behind its equals.
    void set_ready_in_order(Task& task) noexcept;

    [[nodiscard]] std::uint32_t sent_count() const noexcept { return sent_count_; }

    /// From now on commands may also go out on this connection.
    void use_connection(std::uint8_t conn) noexcept;
    /// From now on they may not; what waits for it goes elsewhere, or waits until there is one.
    void stop_using(std::uint8_t conn) noexcept;
    /// A command that is out belongs to another connection now.
    void move_sent(Task& task, std::uint8_t conn) noexcept;
    /// The command time-out of a command that is out begins anew.
    void restart_clock(Task& task, Instant now) noexcept;
    /// Whatever waits goes out on the leading connection, and so does what comes.
    void use_leading_only() noexcept;

    TaskList ready;
    TaskList sent_short;    ///< In the order of sent_at.
    TaskList sent_patient;  ///< The same, for commands with the long time-out.
    TaskList resting;

private:
    static constexpr std::uint8_t kConnectionsMax = EngineLimits::kConnectionsMax;

    void unlink(Task& task) noexcept;
    [[nodiscard]] bool is_usable(std::uint8_t conn) const noexcept {
        return (usable_ & (1U << conn)) != 0;
    }
    void move_ready() noexcept;
    /// Shortest queue first: chosen when a command begins to wait, so that no connection waits for
    /// another one.
    void choose_connection(Task& task) noexcept;

    std::span<Task> tasks_;
    std::uint16_t depth_;
    std::uint32_t sent_count_ = 0;
    std::uint32_t usable_ = 1;                           // A bit for each connection.
    std::array<std::uint16_t, kConnectionsMax> load_{};  // Commands of each that wait or are out.
};

}  // namespace holdfast::initiator
