// Session: PDUs out. Written when there is room, in this order: control, reads, data that the
// target waits for, other commands (conformance R2T-10, NOP-08; design, invariant 3). Somebody
// waits for a read, a page fault above all, and it costs one header; so it need not wait behind the
// data of a burst of writes. It may only overtake so often that they are not kept waiting for long.
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// What is gathered into one send, bytes: enough for full speed on long links, little enough that
/// an answer to a ping, or a read, never waits long behind it.
constexpr std::size_t kGatherBytesMax = 128 * 1024;
/// Reads in a row that may overtake older data and commands.
constexpr std::uint32_t kOvertakesMax = 32;
/// Data segments that are not the last of a sequence end on a word. RFC 7143 section 11.7.7.
constexpr std::uint32_t kWordMask = ~3U;
/// The data-out of WRITE SAME: one block.
constexpr std::array<std::byte, 4096> kZeroes{};

bool is_patient(const Task& task) noexcept {
    return task.part == TaskPart::CacheFlush || task.request.kind == RequestKind::Flush ||
           task.request.kind == RequestKind::Discard ||
           task.request.kind == RequestKind::WriteZeroes;
}

}  // namespace

std::span<std::span<const std::byte>> Session::tx_spans(
    Connection& conn, Instant now, std::span<std::span<const std::byte>> out) noexcept {
    if (!conn.has_transport()) return {};
    gather(conn, now);
    if (conn.ring.waiting_bytes() > 0) conn.lent_at = earlier(conn.lent_at, now);
    return conn.ring.spans(out);
}

void Session::tx_sent(Connection& conn, Instant now, std::size_t bytes) noexcept {
    if (!conn.has_transport()) return;  // Too late to matter: transport_lost returns every loan.
    conn.ring.sent(bytes);
    if (bytes > 0) {
        conn.keep_alive.on_send_progress(now);
        // Time-outs run from when a PDU was written; the target has it only now.
        grant(now, now - conn.lent_at);
        conn.lent_at = Instant::never();
    }
}

void Session::tx_released(Connection& conn, std::size_t bytes) noexcept {
    if (!conn.has_transport()) return;  // As above.
    conn.ring.released(bytes);
    std::uint16_t owner = TransmitRing::kNobody;
    while (conn.ring.release(owner) == TransmitRing::Release::Owner) return_loan(owner);
}

void Session::gather(Connection& conn, Instant now) noexcept {
    while (conn.ring.has_room() && conn.ring.waiting_bytes() < kGatherBytesMax) {
        if (is_denied(Pool::TransmitRing)) {
            const bool may_take = conn.state == ConnState::LoggedIn && window_.is_open();
            if (is_sabotaged(Sabotage::ConsumeOnDenial) && may_take) {
                static_cast<void>(window_.take());
            }
            return;
        }
        bool is_put = false;
        if (conn.state == ConnState::InLogin) {
            is_put = put_login(conn);
        } else if (conn.is_full_feature()) {
            is_put = put_control(conn, now) || put_read(conn, now) || put_data_out(conn) ||
                     put_rejected_command(conn) || put_lost_command(conn, now) ||
                     put_command(conn, now);
        }
        if (!is_put) return;
        recorder_.on_sent(conn.index.raw(), conn.ring.newest_header(), conn.digests);
    }
}

StatSn Session::acknowledged(const Connection& conn) noexcept {
    const StatSn due = conn.status.expected();
    return is_sabotaged(Sabotage::AcknowledgeEarly) ? due.next() : due;
}

Itt Session::next_auxiliary_itt(std::uint16_t slot) noexcept {
    ++auxiliary_generation_;
    return Itt{(std::uint32_t{auxiliary_generation_} << 16) | slot};
}

bool Session::put_login(Connection& conn) noexcept {
    // The text of the last request is lent until it was sent, even if its answer is here already.
    if (!conn.is_login_unsent || !conn.ring.empty()) return false;
    conn.is_login_unsent = false;
    const std::size_t bytes = conn.login->next_request(conn.ring.next_header(), conn.login_text);
    conn.ring.push(conn.digests, conn.login_text.first(bytes), TransmitRing::kNobody);
    return true;
}

bool Session::put_control(Connection& conn, Instant now) noexcept {
    if (!conn.nop_answers.empty()) {
        const NopAnswer answer = conn.nop_answers.pop();
        write(conn.ring.next_header(), NopOutHeader{.lun = answer.lun,
                                                    .ttt = answer.ttt,
                                                    .cmd_sn = window_.current(),
                                                    .expected_stat_sn = acknowledged(conn)});
    } else if (conn.state == ConnState::InLogout) {
        if (!conn.is_logout_unsent) return false;
        put_logout(conn);
    } else if (rung_unsent_ && rung_conn_ == conn.index.raw()) {
        rung_unsent_ = false;
        ++counters_.tmf_sent;
        write(conn.ring.next_header(), TaskManagementHeader{.function = function_of(rung_),
                                                            .lun = config_.lun,
                                                            .itt = rung_itt_,
                                                            .referenced_itt = aborted_itt_,
                                                            .cmd_sn = window_.current(),
                                                            .expected_stat_sn = acknowledged(conn),
                                                            .referenced_cmd_sn = aborted_cmd_sn_,
                                                            .expected_data_sn = {}});
    } else if (put_recovery_logout(conn) || put_reassign(conn, now) || put_snack(conn, now)) {
        // Written.
    } else if (conn.keep_alive.wants_ping()) {
        conn.ping_itt = next_auxiliary_itt(kPingSlot);
        ++counters_.nop_sent;
        conn.keep_alive.on_ping_sent(now);
        write(conn.ring.next_header(), NopOutHeader{.itt = conn.ping_itt,
                                                    .cmd_sn = window_.current(),
                                                    .expected_stat_sn = acknowledged(conn)});
    } else {
        return false;
    }
    conn.ring.push(conn.digests, {}, TransmitRing::kNobody);
    return true;
}

void Session::put_logout(Connection& conn) noexcept {
    conn.is_logout_unsent = false;
    conn.logout_itt = next_auxiliary_itt(kLogoutSlot);
    write(conn.ring.next_header(), LogoutRequestHeader{.reason = LogoutReason::CloseSession,
                                                       .itt = conn.logout_itt,
                                                       .cid = cid_of(conn),
                                                       .cmd_sn = window_.current(),
                                                       .expected_stat_sn = acknowledged(conn)});
}

bool Session::put_data_out(Connection& conn) noexcept {
    if (conn.state == ConnState::InLogout) return false;
    while (!conn.out_queue.empty()) {
        OutSequence& sequence = conn.out_queue.front();
        Task* const task = tasks_.find_sent(sequence.itt);
        if (task == nullptr) {  // Its answer came first (R2T-11): nothing is owed any more.
            conn.out_queue.pop();
            continue;
        }
        const std::uint32_t most = conn.max_recv_theirs_bytes & kWordMask;
        const std::uint32_t bytes = std::min(sequence.left_bytes, most);
        HF_ASSERT(bytes > 0 && sequence.offset + bytes <= task->out.size());
        const bool is_last = bytes == sequence.left_bytes;
        write(conn.ring.next_header(), DataOutHeader{.is_final = is_last,
                                                     .lun = config_.lun,
                                                     .itt = sequence.itt,
                                                     .ttt = sequence.ttt,
                                                     .expected_stat_sn = acknowledged(conn),
                                                     .data_sn = sequence.data_sn,
                                                     .buffer_offset = sequence.offset,
                                                     .data_bytes = bytes});
        ++task->loans;
        conn.overtakes = 0;
        conn.ring.push(conn.digests, task->out.subspan(sequence.offset, bytes), task->index);
        sequence.data_sn = sequence.data_sn.next();
        sequence.offset += bytes;
        sequence.left_bytes -= bytes;
        if (is_last) {
            if (sequence.ttt != kTttReserved) --task->r2ts_waiting;
            conn.out_queue.pop();
        }
        return true;
    }
    return false;
}

bool Session::may_send(const Connection& conn, const Task& task) const noexcept {
    if (conn.state != ConnState::LoggedIn || !window_.is_open()) return false;
    // While a reset is out, a new command would be neither clearly before nor clearly after it.
    if (rung_ == Rung::UnitReset || rung_ == Rung::TargetReset) return false;
    if (tasks_.is_probe(task)) {
        // What the command before it sent may still be lent. Beside requests the probe goes ahead.
        const bool is_room = stage_ != Stage::Probing || tasks_.sent_count() < send_limit_;
        return task.loans == 0 && is_room;
    }
    return stage_ == Stage::Ready && departure_ != Departure::AskedByTarget &&
           tasks_.sent_count() < send_limit_;
}

bool Session::put_command(Connection& conn, Instant now) noexcept {
    if (tasks_.ready.empty() || !conn.out_queue.empty()) return false;
    const auto is_its = [&](const Task& waiting) { return waiting.conn == conn.index.raw(); };
    const auto found = std::ranges::find_if(tasks_.ready, is_its);
    if (found == tasks_.ready.end() || !may_send(conn, *found)) return false;
    conn.overtakes = 0;
    begin_command(conn, *found, now);
    return true;
}

bool Session::put_read(Connection& conn, Instant now) noexcept {
    // Lost commands fill holes in the order of commands: nothing goes in front of them.
    const bool has_holes = conn.reinstatement.unsettled > 0 || !conn.repair.rejected.empty();
    if (conn.overtakes >= kOvertakesMax || has_holes) return false;
    const auto is_its = [&](const Task& waiting) {
        return waiting.conn == conn.index.raw() && !tasks_.is_probe(waiting) &&
               waiting.request.kind == RequestKind::Read && waiting.part == TaskPart::Main;
    };
    const auto found = std::ranges::find_if(tasks_.ready, is_its);
    if (found == tasks_.ready.end() || !may_send(conn, *found)) return false;
    ++conn.overtakes;
    begin_command(conn, *found, now);
    return true;
}

void Session::begin_command(Connection& conn, Task& task, Instant now) noexcept {
    prepare(task);
    task.is_patient = is_patient(task);
    task.timed_out = false;
    task.allegiance = Allegiance::Settled;
    task.sent_at = now;
    task.cmd_sn = window_.take();
    reset_progress(task);
    tasks_.set_state(task, TaskState::Sent);
    write_command(conn, task);
}

/// Nothing of the command's data has moved.
void Session::reset_progress(Task& task) noexcept {
    task.next_data_sn = DataSn{};
    task.next_r2t_sn = R2tSn{};
    task.renumbers_r2t = false;
    task.r2ts_waiting = 0;
    task.gap = Gap::None;
    task.snacks = 0;
    task.received.clear();
}

/// The command with the data that may go with it, unasked.
void Session::write_command(Connection& conn, Task& task) noexcept {
    HF_ASSERT(task.state == TaskState::Sent);
    HF_ASSERT(task.direction == DataDirection::Read || conn.out_queue.empty());
    const std::uint32_t total = task.transfer_bytes;
    std::uint32_t immediate = 0;
    std::uint32_t unsolicited = 0;
    if (task.direction == DataDirection::Write) {
        if (agreed_.immediate_data) {
            immediate = std::min({agreed_.first_burst_bytes, conn.max_recv_theirs_bytes, total});
            if (immediate < total) immediate &= kWordMask;
        }
        unsolicited = agreed_.initial_r2t ? immediate : std::min(agreed_.first_burst_bytes, total);
    }
    const Itt itt = TaskTable::itt_of(task);
    write(conn.ring.next_header(), ScsiCommandHeader{.is_final = unsolicited == immediate,
                                                     .direction = task.direction,
                                                     .lun = task.lun,
                                                     .itt = itt,
                                                     .expected_bytes = total,
                                                     .immediate_bytes = immediate,
                                                     .cmd_sn = task.cmd_sn,
                                                     .expected_stat_sn = acknowledged(conn),
                                                     .cdb = task.cdb});
    if (immediate > 0) ++task.loans;
    conn.ring.push(conn.digests, task.out.first(immediate), task.index);
    if (unsolicited > immediate) {
        conn.out_queue.push(
            {.itt = itt, .offset = immediate, .left_bytes = unsolicited - immediate});
    }
}

void Session::prepare(Task& task) noexcept {
    task.in = {};
    task.out = {};
    task.force_unit_access = false;
    task.lun = config_.lun;
    if (tasks_.is_probe(task)) {
        const bool is_probe = probe_use_ == ProbeUse::Facts;
        const std::uint8_t place = tasks_.place_of(task);
        const scsi::ProbeCommand command =
            is_probe ? probe_.command(place) : reservation_.next_command();
        const auto parameters = is_probe ? std::nullopt : reservation_.data_out();
        if (parameters) {
            static_assert(scsi::kReserveOutListBytes ==
                          std::tuple_size_v<decltype(task.parameters)>);
            task.parameters = *parameters;
            task.out = task.parameters;
        }
        task.cdb = command.cdb;
        task.lun = command.lun;
        task.in = probe_.answer_space(place).first(command.data_in_bytes);
    } else {
        task.cdb = prepare_request(task);
    }
    task.direction = DataDirection::None;
    if (!task.in.empty()) task.direction = DataDirection::Read;
    if (!task.out.empty()) task.direction = DataDirection::Write;
    task.transfer_bytes = static_cast<std::uint32_t>(task.in.size() + task.out.size());
}

Cdb Session::prepare_request(Task& task) noexcept {
    const Request& request = task.request;
    const scsi::Extent extent{.lba = request.lba, .blocks = request.blocks};
    if (task.part == TaskPart::CacheFlush || request.kind == RequestKind::Flush) {
        return is_long_flush_ ? scsi::synchronize_cache_16() : scsi::synchronize_cache_10();
    }
    if (request.kind == RequestKind::Read) {
        task.in = request.data;
        return scsi::read_16(extent);
    }
    if (request.kind == RequestKind::Discard) {
        const std::array<scsi::Extent, 1> extents{extent};
        task.out = scsi::put_unmap_list(task.parameters, extents);
        return scsi::unmap(task.out.size());
    }
    if (request.kind == RequestKind::WriteZeroes) {
        const bool unmaps =
            request.may_unmap && facts_.can_write_same_unmap && facts_.unmapped_reads_zero;
        task.out = std::span{kZeroes}.first(facts_.block_bytes);
        return scsi::write_same_16(extent,
                                   unmaps ? scsi::Deallocation::Unmap : scsi::Deallocation::Keep);
    }
    task.out = request.data;
    task.force_unit_access = request.force_unit_access && facts_.can_force_unit_access;
    return scsi::write_16(extent, task.force_unit_access ? scsi::Durability::ForceUnitAccess
                                                         : scsi::Durability::Cached);
}

}  // namespace holdfast::initiator
