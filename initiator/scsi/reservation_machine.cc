#include "initiator/scsi/reservation_machine.h"

#include <algorithm>
#include <string_view>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

constexpr std::uint32_t kCapabilitiesBytes = 8;
constexpr std::uint32_t kReservationBytes = 24;
constexpr std::uint8_t kTypeMaskValid = 0x80;                    // TMV, byte 3.
constexpr std::uint16_t kCanWriteExclusiveRegistrants = 0x2000;  // WR_EX_RO, bytes 4 and 5.
// Types in which whoever is registered may write. SPC-4 table 67.
constexpr std::uint8_t kRegistrantsTypeFirst = 5;
constexpr std::uint8_t kRegistrantsTypeLast = 8;
constexpr std::uint8_t kTypeMask = 0x0f;

constexpr std::uint64_t kFnvStart = 0xcbf29ce484222325ULL;
constexpr std::uint64_t kFnvPrime = 0x100000001b3ULL;

}  // namespace

ReservationKey reservation_key(std::string_view initiator_name, Isid isid,
                               std::uint16_t number) noexcept {
    std::uint64_t hash = kFnvStart;
    const auto mix = [&hash](std::uint64_t octet) { hash = (hash ^ octet) * kFnvPrime; };
    for (const char c : initiator_name) mix(static_cast<std::uint8_t>(c));
    for (unsigned shift = 0; shift < 48; shift += 8) mix((isid.raw() >> shift) & 0xffU);
    const std::uint64_t family = (hash ^ (hash << 16)) & ~kSessionOfKeyMask;
    // No family is 0, whatever the hash: 0 is no key.
    return ReservationKey{(family == 0 ? ~kSessionOfKeyMask : family) | number};
}

ReservationMachine ReservationMachine::leaving(Lun lun, ReservationKey key) noexcept {
    HF_ASSERT(key != ReservationKey{});
    ReservationMachine machine{lun, {.key = key}};
    machine.stage_ = Stage::Unregister;
    machine.is_registered_ = true;
    return machine;
}

ReserveOut ReservationMachine::register_action() const noexcept {
    return wish_.may_replace || is_registered_ ? ReserveOut::RegisterAndIgnoreExistingKey
                                               : ReserveOut::Register;
}

ProbeCommand ReservationMachine::next_command() const noexcept {
    HF_ASSERT(stage_ != Stage::Ended);
    const auto in = [this](ReserveIn action, std::uint32_t bytes) -> ProbeCommand {
        return {.cdb = persistent_reserve_in(action, static_cast<std::uint16_t>(bytes)),
                .lun = lun_,
                .data_in_bytes = bytes};
    };
    const auto out = [this](ReserveOut action) -> ProbeCommand {
        return {.cdb = persistent_reserve_out(action), .lun = lun_};
    };
    switch (stage_) {
    case Stage::Capabilities: return in(ReserveIn::ReportCapabilities, kCapabilitiesBytes);
    case Stage::ReadKeys: return in(ReserveIn::ReadKeys, kProbeDataBytesMax);
    case Stage::ReadReservation: return in(ReserveIn::ReadReservation, kReservationBytes);
    case Stage::Register: return out(register_action());
    case Stage::Reserve: return out(ReserveOut::Reserve);
    case Stage::Preempt: return out(ReserveOut::PreemptAndAbort);
    case Stage::Unregister:
    case Stage::Ended: break;
    }
    return out(ReserveOut::Register);
}

std::optional<ReserveOutList> ReservationMachine::data_out() const noexcept {
    switch (stage_) {
    case Stage::Register: return reserve_out_list(0, wish_.key.raw());
    case Stage::Reserve: return reserve_out_list(wish_.key.raw(), 0);
    case Stage::Preempt: return reserve_out_list(wish_.key.raw(), old_keys_[0].raw());
    case Stage::Unregister: return reserve_out_list(wish_.key.raw(), 0);
    case Stage::Capabilities:
    case Stage::ReadKeys:
    case Stage::ReadReservation:
    case Stage::Ended: break;
    }
    return {};
}

ReservationStep ReservationMachine::on_result(const CommandEnd& result,
                                              std::span<const std::byte> data_in) noexcept {
    HF_ASSERT(stage_ != Stage::Ended);
    CommandEnd judged_end = result;
    judged_end.residual = Residual::None;  // Less than the allocation length is the normal case.
    const Verdict judged = verdict(judged_end, {.kind = RequestKind::Read, .counts = counts_});
    switch (judged.step) {
    case Step::Done: return on_good(data_in);
    case Step::RetryNow: counts_.add(judged); return ReservationStep::Continue;
    case Step::RetryAfter:
    case Step::ReprobeThenRetry:  // The probe comes again with the next session.
        counts_.add(judged);
        wait_ = backoff_delay(judged.backoff, counts_.retries);
        return ReservationStep::Wait;
    case Step::Fail: return on_failed(judged);
    case Step::Violation: break;
    }
    return end(ReservationStep::Violation);
}

ReservationStep ReservationMachine::on_failed(const Verdict& judged) noexcept {
    if (stage_ == Stage::Unregister) return end(ReservationStep::Done);
    if (judged.outcome == Outcome::ReservationConflict) return on_conflict();
    // Units of SPC-2's time know keys, and not this question.
    if (stage_ == Stage::Capabilities) return go_to(Stage::ReadKeys);
    return end(ReservationStep::Unavailable);
}

ReservationStep ReservationMachine::on_conflict() noexcept {
    if (stage_ == Stage::Register) return end(ReservationStep::PortTaken);
    // A key went away, ours or the one to be preempted, or somebody else was quicker.
    return read_again();
}

ReservationStep ReservationMachine::read_again() noexcept {
    if (++restarts_ > kRestartsMax) return end(ReservationStep::Unavailable);
    return go_to(Stage::ReadKeys);
}

ReservationStep ReservationMachine::on_good(std::span<const std::byte> data) noexcept {
    counts_ = {};
    switch (stage_) {
    case Stage::Capabilities: return on_capabilities(data);
    case Stage::ReadKeys: return on_keys(data);
    case Stage::ReadReservation: return on_reservation(data);
    case Stage::Register:
        is_registered_ = true;
        return go_to(is_reserved_ ? Stage::Preempt : Stage::Reserve);
    case Stage::Reserve: is_reserved_ = true; return go_to(Stage::Preempt);
    case Stage::Preempt: return on_preempted();
    case Stage::Unregister:
    case Stage::Ended: break;
    }
    return end(ReservationStep::Done);
}

ReservationStep ReservationMachine::on_capabilities(std::span<const std::byte> data) noexcept {
    if (data.size() < kCapabilitiesBytes) return go_to(Stage::ReadKeys);
    const auto all = data.first<kCapabilitiesBytes>();
    const bool tells_types = (u8_at<3>(all) & kTypeMaskValid) != 0;
    const bool has_type = (be16_at<4>(all) & kCanWriteExclusiveRegistrants) != 0;
    if (tells_types && !has_type) return end(ReservationStep::Unavailable);
    return go_to(Stage::ReadKeys);
}

ReservationStep ReservationMachine::on_keys(std::span<const std::byte> data) noexcept {
    ByteReader reader{data};
    static_cast<void>(reader.try_be32());  // Generation.
    const auto bytes = reader.try_be32();
    if (!bytes || data.size() < std::min<std::uint64_t>(8ULL + *bytes, kProbeDataBytesMax)) {
        return read_again();  // GOOD, and data is missing.
    }
    old_keys_.clear();
    is_list_whole_ = *bytes <= data.size() - 8;
    for (std::uint32_t at = 0; at + 8 <= *bytes; at += 8) {
        const auto raw = reader.try_be64();
        if (!raw) break;
        const ReservationKey key{*raw};
        if (!are_relatives(key, wish_.key)) continue;
        if (std::ranges::find(old_keys_, key) != old_keys_.end()) continue;
        if (!old_keys_.try_push(key)) is_list_whole_ = false;
    }
    choose_key();
    return go_to(Stage::ReadReservation);
}

/// Another one than any session's before, unless it is registered already.
void ReservationMachine::choose_key() noexcept {
    if (!is_registered_ && !wish_.may_replace) {
        while (std::ranges::find(old_keys_, wish_.key) != old_keys_.end()) {
            const std::uint64_t family = wish_.key.raw() & ~kSessionOfKeyMask;
            wish_.key = ReservationKey{family | ((wish_.key.raw() + 1) & kSessionOfKeyMask)};
        }
    }
    for (ReservationKey& key : old_keys_) {
        if (key != wish_.key) continue;
        key = old_keys_[old_keys_.size() - 1];
        return old_keys_.pop();
    }
}

ReservationStep ReservationMachine::on_reservation(std::span<const std::byte> data) noexcept {
    ByteReader reader{data};
    static_cast<void>(reader.try_be32());  // Generation.
    const auto bytes = reader.try_be32();
    if (!bytes || (*bytes != 0 && data.size() < kReservationBytes)) return read_again();
    is_reserved_ = *bytes != 0;
    if (!is_reserved_) return go_to(Stage::Register);
    const auto all = data.first<kReservationBytes>();
    const ReservationKey holder{be64_at<8>(all)};
    const std::uint8_t type = u8_at<21>(all) & kTypeMask;
    const bool is_ours = are_relatives(holder, wish_.key) && holder != ReservationKey{};
    const bool is_last_known = wish_.last != ReservationKey{};
    const bool has_last = is_last_known
                              ? std::ranges::find(old_keys_, wish_.last) != old_keys_.end()
                              : !old_keys_.empty();
    const bool is_gone = is_list_whole_ && !has_last;
    if (!is_ours && wish_.was_reserved && is_gone) return end(ReservationStep::Preempted);
    const bool is_for_registrants = type >= kRegistrantsTypeFirst && type <= kRegistrantsTypeLast;
    if (!is_for_registrants && !is_ours) return end(ReservationStep::Unavailable);
    return go_to(Stage::Register);
}

ReservationStep ReservationMachine::on_preempted() noexcept {
    HF_ASSERT(!old_keys_.empty());
    const ReservationKey ended = old_keys_[0];
    const bool is_last = ended == wish_.last;
    const bool is_every_one =
        wish_.last == ReservationKey{} && is_list_whole_ && restarts_ == 0 && old_keys_.size() == 1;
    if (is_last || is_every_one) has_ended_last_ = true;
    old_keys_[0] = old_keys_[old_keys_.size() - 1];
    old_keys_.pop();
    return go_to(Stage::Preempt);
}

ReservationStep ReservationMachine::go_to(Stage stage) noexcept {
    if (stage == Stage::Preempt && old_keys_.empty()) return end(ReservationStep::Done);
    stage_ = stage;
    return ReservationStep::Continue;
}

ReservationStep ReservationMachine::end(ReservationStep how) noexcept {
    stage_ = Stage::Ended;
    return how;
}

}  // namespace holdfast::initiator::scsi
