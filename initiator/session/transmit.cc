// Session: PDUs out. Written when there is room, in this order: control, data that the target waits
// for, new commands (conformance R2T-10, NOP-08; design, invariant 3).
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// What is gathered into one send, bytes: enough for full speed on long links, little enough that
/// an answer to a ping never waits long behind it.
constexpr std::size_t kGatherBytesMax = 512 * 1024;
/// Data segments that are not the last of a sequence end on a word. RFC 7143 section 11.7.7.
constexpr std::uint32_t kWordMask = ~3U;
/// The data-out of WRITE SAME: one block.
constexpr std::array<std::byte, 4096> kZeroes{};
constexpr Cid kCid{0};

bool is_patient(const Task& task) noexcept {
    return task.part == TaskPart::CacheFlush || task.request.kind == RequestKind::Flush ||
           task.request.kind == RequestKind::Discard ||
           task.request.kind == RequestKind::WriteZeroes;
}

}  // namespace

std::span<std::span<const std::byte>> Session::tx_spans(
    Instant now, std::span<std::span<const std::byte>> out) noexcept {
    if (!has_transport()) return {};
    gather(now);
    return ring_.spans(out);
}

void Session::tx_sent(Instant now, std::size_t bytes) noexcept {
    if (!has_transport()) return;  // Too late to matter: transport_lost returns every loan.
    ring_.sent(bytes);
    if (bytes > 0) keep_alive_.on_send_progress(now);
    std::uint16_t owner = TransmitRing::kNobody;
    while (ring_.release(owner) == TransmitRing::Release::Owner) return_loan(owner);
}

void Session::gather(Instant now) noexcept {
    while (ring_.has_room() && ring_.waiting_bytes() < kGatherBytesMax) {
        bool is_put = false;
        if (stage_ == Stage::LoggingIn) {
            is_put = put_login();
        } else if (is_full_feature()) {
            is_put = put_control(now) || put_data_out() || put_command(now);
        }
        if (!is_put) return;
        recorder_.on_sent(kConn, ring_.newest_header(), digests_);
    }
}

StatSn Session::acknowledged() const noexcept {
    const StatSn due = status_.expected();
    return is_sabotaged(Sabotage::AcknowledgeEarly) ? due.next() : due;
}

Itt Session::next_auxiliary_itt(std::uint16_t slot) noexcept {
    ++auxiliary_generation_;
    return Itt{(std::uint32_t{auxiliary_generation_} << 16) | slot};
}

bool Session::put_login() noexcept {
    // The text of the last request is lent until it was sent, even if its answer is here already.
    if (!is_login_unsent_ || !ring_.empty()) return false;
    is_login_unsent_ = false;
    const std::size_t bytes = login_->next_request(ring_.next_header(), login_text_);
    ring_.push(digests_, login_text_.first(bytes), TransmitRing::kNobody);
    return true;
}

bool Session::put_control(Instant now) noexcept {
    if (!nop_answers_.empty()) {
        const NopAnswer answer = nop_answers_.pop();
        write(ring_.next_header(), NopOutHeader{.lun = answer.lun,
                                                .ttt = answer.ttt,
                                                .cmd_sn = window_.current(),
                                                .expected_stat_sn = acknowledged()});
    } else if (conn_ == ConnState::InLogout) {
        if (!logout_unsent_) return false;
        put_logout();
    } else if (rung_unsent_) {
        rung_unsent_ = false;
        ++counters_.tmf_sent;
        write(ring_.next_header(), TaskManagementHeader{.function = function_of(rung_),
                                                        .lun = config_.lun,
                                                        .itt = rung_itt_,
                                                        .referenced_itt = aborted_itt_,
                                                        .cmd_sn = window_.current(),
                                                        .expected_stat_sn = acknowledged(),
                                                        .referenced_cmd_sn = aborted_cmd_sn_,
                                                        .expected_data_sn = {}});
    } else if (keep_alive_.wants_ping()) {
        ping_itt_ = next_auxiliary_itt(kPingSlot);
        ++counters_.nop_sent;
        keep_alive_.on_ping_sent(now);
        write(ring_.next_header(), NopOutHeader{.itt = ping_itt_,
                                                .cmd_sn = window_.current(),
                                                .expected_stat_sn = acknowledged()});
    } else {
        return false;
    }
    ring_.push(digests_, {}, TransmitRing::kNobody);
    return true;
}

void Session::put_logout() noexcept {
    logout_unsent_ = false;
    logout_itt_ = next_auxiliary_itt(kLogoutSlot);
    write(ring_.next_header(), LogoutRequestHeader{.reason = LogoutReason::CloseSession,
                                                   .itt = logout_itt_,
                                                   .cid = kCid,
                                                   .cmd_sn = window_.current(),
                                                   .expected_stat_sn = acknowledged()});
}

bool Session::put_data_out() noexcept {
    if (conn_ == ConnState::InLogout) return false;
    while (!out_queue_.empty()) {
        OutSequence& sequence = out_queue_.front();
        Task* const task = tasks_.find_sent(sequence.itt);
        if (task == nullptr) {  // Its answer came first (R2T-11): nothing is owed any more.
            out_queue_.pop();
            continue;
        }
        const std::uint32_t most = agreed_.max_recv_theirs_bytes & kWordMask;
        const std::uint32_t bytes = std::min(sequence.left_bytes, most);
        HF_ASSERT(bytes > 0 && sequence.offset + bytes <= task->out.size());
        const bool is_last = bytes == sequence.left_bytes;
        write(ring_.next_header(), DataOutHeader{.is_final = is_last,
                                                 .lun = config_.lun,
                                                 .itt = sequence.itt,
                                                 .ttt = sequence.ttt,
                                                 .expected_stat_sn = acknowledged(),
                                                 .data_sn = sequence.data_sn,
                                                 .buffer_offset = sequence.offset,
                                                 .data_bytes = bytes});
        ++task->loans;
        ring_.push(digests_, task->out.subspan(sequence.offset, bytes), task->index);
        sequence.data_sn = sequence.data_sn.next();
        sequence.offset += bytes;
        sequence.left_bytes -= bytes;
        if (is_last) {
            if (sequence.ttt != kTttReserved) --task->r2ts_waiting;
            out_queue_.pop();
        }
        return true;
    }
    return false;
}

bool Session::may_send(const Task& task) const noexcept {
    if (conn_ != ConnState::LoggedIn || !window_.is_open()) return false;
    // While a reset is out, a new command would be neither clearly before nor clearly after it.
    if (rung_ == Rung::UnitReset || rung_ == Rung::TargetReset) return false;
    if (tasks_.is_probe(task)) return true;
    return stage_ == Stage::Ready && departure_ != Departure::AskedByTarget &&
           tasks_.sent_count() < send_limit_;
}

bool Session::put_command(Instant now) noexcept {
    if (tasks_.ready.empty() || !out_queue_.empty()) return false;
    Task& task = tasks_.ready.front();
    if (!may_send(task)) return false;
    ScsiCommandHeader header{};
    header.lun = config_.lun;
    prepare(task, header);
    const std::uint32_t total = task.transfer_bytes;
    std::uint32_t immediate = 0;
    std::uint32_t unsolicited = 0;
    if (task.direction == DataDirection::Write) {
        if (agreed_.immediate_data) {
            immediate = std::min({agreed_.first_burst_bytes, agreed_.max_recv_theirs_bytes, total});
            if (immediate < total) immediate &= kWordMask;
        }
        unsolicited = agreed_.initial_r2t ? immediate : std::min(agreed_.first_burst_bytes, total);
    }
    task.is_patient = is_patient(task);
    task.timed_out = false;
    task.sent_at = now;
    task.cmd_sn = window_.take();
    task.next_data_sn = DataSn{};
    task.next_r2t_sn = R2tSn{};
    task.r2ts_waiting = 0;
    task.received.clear();
    tasks_.set_state(task, TaskState::Sent);
    header.is_final = unsolicited == immediate;
    header.direction = task.direction;
    header.itt = TaskTable::itt_of(task);
    header.expected_bytes = total;
    header.immediate_bytes = immediate;
    header.cmd_sn = task.cmd_sn;
    header.expected_stat_sn = acknowledged();
    write(ring_.next_header(), header);
    if (immediate > 0) ++task.loans;
    ring_.push(digests_, task.out.first(immediate), task.index);
    if (unsolicited > immediate) {
        out_queue_.push(
            {.itt = header.itt, .offset = immediate, .left_bytes = unsolicited - immediate});
    }
    return true;
}

void Session::prepare(Task& task, ScsiCommandHeader& header) noexcept {
    task.in = {};
    task.out = {};
    task.force_unit_access = false;
    if (tasks_.is_probe(task)) {
        const scsi::ProbeCommand command = probe_.next_command();
        header.cdb = command.cdb;
        header.lun = command.lun;
        task.in = probe_data_.first(command.data_in_bytes);
    } else {
        header.cdb = prepare_request(task);
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
