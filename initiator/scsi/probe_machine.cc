#include "initiator/scsi/probe_machine.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/scsi/lun.h"

namespace holdfast::initiator::scsi {

namespace {

constexpr std::uint32_t kInquiryBytes = 36;
// Units older than SPC-3 read only the low byte of an INQUIRY's allocation length, so both bytes
// have to make sense: 252, and 1020 of which they see 252.
constexpr std::uint32_t kPageBytes = 0xfc;
constexpr std::uint32_t kIdentificationBytes = 0x3fc;
constexpr std::uint32_t kModeBytes = 192;
constexpr std::uint32_t kSupportedOperationBytes = 32;
constexpr std::uint32_t kTaskFunctionsBytes = 4;
static_assert(kIdentificationBytes <= kProbeDataBytesMax);

constexpr std::uint8_t kDirectAccessDevice = 0x00;
constexpr std::uint8_t kUnknownDevice = 0x1f;
constexpr std::uint16_t kRotationRateMin = 0x0401;
constexpr std::uint8_t kAscNoUnit = 0x25;

[[nodiscard]] ProbeCommand page_command(VpdPage page, Lun lun) noexcept {
    const std::uint32_t bytes =
        page == VpdPage::DeviceIdentification ? kIdentificationBytes : kPageBytes;
    return {.cdb = inquiry_page(static_cast<std::uint8_t>(page), static_cast<std::uint16_t>(bytes)),
            .lun = lun,
            .data_in_bytes = bytes};
}

[[nodiscard]] bool says_no_unit(const SenseSummary& sense) noexcept {
    return sense.key == SenseKey::IllegalRequest && sense.asc == kAscNoUnit;
}

}  // namespace

std::optional<VpdPage> ProbeMachine::page_of(Stage stage) noexcept {
    switch (stage) {
    case Stage::SupportedPages: return VpdPage::SupportedPages;
    case Stage::SerialNumber: return VpdPage::UnitSerialNumber;
    case Stage::Identification: return VpdPage::DeviceIdentification;
    case Stage::BlockLimits: return VpdPage::BlockLimits;
    case Stage::Characteristics: return VpdPage::BlockDeviceCharacteristics;
    case Stage::Provisioning: return VpdPage::LogicalBlockProvisioning;
    case Stage::ReportLuns:
    case Stage::Inquiry:
    case Stage::TestUnitReady:
    case Stage::ReadCapacity:
    case Stage::ModeSense6:
    case Stage::ModeSense10:
    case Stage::ModeSenseAll:
    case Stage::WriteSameKnown:
    case Stage::TaskFunctions:
    case Stage::Ready:
    case Stage::Failed: break;
    }
    return {};
}

bool ProbeMachine::is_needed(Stage stage) noexcept {
    return stage == Stage::Inquiry || stage == Stage::TestUnitReady || stage == Stage::ReadCapacity;
}

ProbeCommand ProbeMachine::command_of(Stage stage) const noexcept {
    if (const auto page = page_of(stage)) return page_command(*page, lun_);
    switch (stage) {
    case Stage::ReportLuns:
        return {.cdb = report_luns(lun_list_bytes_), .data_in_bytes = lun_list_bytes_};
    case Stage::Inquiry:
        return {.cdb = inquiry(kInquiryBytes), .lun = lun_, .data_in_bytes = kInquiryBytes};
    case Stage::ReadCapacity:
        return {
            .cdb = read_capacity_16(kCapacityBytes), .lun = lun_, .data_in_bytes = kCapacityBytes};
    case Stage::ModeSense6:
        return {.cdb = mode_sense_6(kModePageCaching, kModeBytes),
                .lun = lun_,
                .data_in_bytes = kModeBytes};
    case Stage::ModeSense10:
        return {.cdb = mode_sense_10(kModePageCaching, kModeBytes),
                .lun = lun_,
                .data_in_bytes = kModeBytes};
    case Stage::ModeSenseAll:
        return {.cdb = mode_sense_6(kModePageAll, kModeBytes),
                .lun = lun_,
                .data_in_bytes = kModeBytes};
    case Stage::WriteSameKnown:
        return {.cdb = report_supported_operation(Operation::WriteSame16, kSupportedOperationBytes),
                .lun = lun_,
                .data_in_bytes = kSupportedOperationBytes};
    case Stage::TaskFunctions:
        return {.cdb = report_supported_task_functions(kTaskFunctionsBytes),
                .lun = lun_,
                .data_in_bytes = kTaskFunctionsBytes};
    case Stage::TestUnitReady:
    case Stage::SupportedPages:
    case Stage::SerialNumber:
    case Stage::Identification:
    case Stage::BlockLimits:
    case Stage::Characteristics:
    case Stage::Provisioning:
    case Stage::Ready:
    case Stage::Failed: break;
    }
    return {.cdb = test_unit_ready(), .lun = lun_};
}

ProbeStep ProbeMachine::on_result(const CommandEnd& end,
                                  std::span<const std::byte> data_in) noexcept {
    HF_ASSERT(stage_ != Stage::Ready && stage_ != Stage::Failed);
    answered_ |= 1U << place();
    CommandEnd judged_end = end;
    judged_end.residual = Residual::None;  // Less than the allocation length is the normal case.
    const Verdict judged = verdict(judged_end, {.kind = RequestKind::Read, .counts = counts_});
    if (judged.sense != SenseSummary{}) last_sense_ = judged.sense;
    switch (judged.step) {
    case Step::Done: {
        const std::size_t asked_bytes = next_command().data_in_bytes;
        return on_data(data_in.first(std::min(data_in.size(), asked_bytes)));
    }
    case Step::RetryNow: counts_.add(judged); return ProbeStep::Continue;
    case Step::RetryAfter: counts_.add(judged); return wait_for(judged.backoff);
    case Step::ReprobeThenRetry: return on_changed(judged);
    case Step::Fail: return on_failed(judged);
    case Step::Violation: break;
    }
    return ProbeStep::Violation;
}

/// The unit refused for good. What is not needed is left out.
ProbeStep ProbeMachine::on_failed(const Verdict& judged) noexcept {
    if (judged.outcome == Outcome::ReservationConflict) {
        counts_.add(judged);
        return wait_for(Backoff::Standby);
    }
    if (!is_needed(stage_)) return go_on();
    if (stage_ == Stage::TestUnitReady) return fail(ProbeError::NotReady);
    return fail(stage_ == Stage::ReadCapacity ? ProbeError::BadCapacity
                                              : ProbeError::MalformedAnswer);
}

/// There is no unit, or a unit attention says that what was read so far may be out of date.
ProbeStep ProbeMachine::on_changed(const Verdict& judged) noexcept {
    if (says_no_unit(judged.sense)) {
        // Some targets refuse REPORT LUNS at LUN 0 in these words, and only INQUIRY can tell.
        return stage_ == Stage::ReportLuns ? go_on() : fail(ProbeError::NoSuchLun);
    }
    counts_.add(judged);
    if (counts_.retries > kImmediateRetriesMax) return wait_for(Backoff::Short);
    if (stage_ > Stage::TestUnitReady && restarts_ < kRestartsMax) restart();
    return ProbeStep::Continue;
}

ProbeStep ProbeMachine::on_data(std::span<const std::byte> data) noexcept {
    switch (stage_) {
    case Stage::ReportLuns: return on_lun_list(data);
    case Stage::Inquiry: return on_inquiry(data);
    case Stage::TestUnitReady: return go_on();
    case Stage::SupportedPages:
    case Stage::SerialNumber:
    case Stage::Identification:
    case Stage::BlockLimits:
    case Stage::Characteristics:
    case Stage::Provisioning: return on_page(data);
    case Stage::ReadCapacity: return on_capacity(data);
    case Stage::ModeSense6:
    case Stage::ModeSense10:
    case Stage::ModeSenseAll: return on_modes(data);
    case Stage::WriteSameKnown: facts_.can_write_same = parse_is_supported(data); return go_on();
    case Stage::TaskFunctions: facts_.unit_reset = parse_unit_reset(data); return go_on();
    case Stage::Ready:
    case Stage::Failed: break;
    }
    return fail(ProbeError::MalformedAnswer);
}

ProbeStep ProbeMachine::on_lun_list(std::span<const std::byte> data) noexcept {
    const auto list = LunList::parse(data);
    if (!list) return go_on();
    if (list->contains(lun_)) {
        listed_ = Listed::Yes;
    } else if (!list->is_truncated()) {
        listed_ = Listed::No;
    } else if (lun_list_bytes_ < kProbeDataBytesMax) {
        lun_list_bytes_ = kProbeDataBytesMax;
        return ProbeStep::Continue;
    }
    return go_on();
}

ProbeStep ProbeMachine::on_inquiry(std::span<const std::byte> data) noexcept {
    const auto standard = parse_standard_inquiry(data);
    if (!standard) return fail(ProbeError::MalformedAnswer);
    const auto qualifier = static_cast<PeripheralQualifier>(standard->qualifier);
    if (qualifier == PeripheralQualifier::NoSuchUnit) return fail(ProbeError::NoSuchLun);
    if (qualifier == PeripheralQualifier::NotConnectedNow) {
        if (listed_ == Listed::No) return fail(ProbeError::NoSuchLun);
        return wait_for(Backoff::Standby);
    }
    if (standard->device_type == kUnknownDevice) return fail(ProbeError::NoSuchLun);
    const bool is_block_device =
        qualifier == PeripheralQualifier::Connected && standard->device_type == kDirectAccessDevice;
    if (!is_block_device) return fail(ProbeError::NotABlockDevice);
    facts_.vendor = standard->vendor;
    facts_.product = standard->product;
    facts_.revision = standard->revision;
    return go_on();
}

/// A page that is not the one asked for counts as not there.
ProbeStep ProbeMachine::on_page(std::span<const std::byte> data) noexcept {
    const auto page = page_of(stage_);
    HF_ASSERT(page.has_value());
    const auto body = vpd_body(data, *page);
    if (!body) return go_on();
    switch (*page) {
    case VpdPage::SupportedPages:
        for (Stage s = Stage::SerialNumber; s <= Stage::Provisioning; s = after(s)) {
            if (vpd_lists(*body, *page_of(s))) pages_.push(*page_of(s));
        }
        break;
    case VpdPage::UnitSerialNumber: facts_.serial = parse_serial_number(*body); break;
    case VpdPage::DeviceIdentification: {
        const Designator best = best_designator(*body);
        facts_.designator_type = best.type;
        facts_.designator = best.text;
        break;
    }
    case VpdPage::BlockLimits: {
        const BlockLimits limits = parse_block_limits(*body);
        facts_.transfer_blocks_max = limits.transfer_blocks_max;
        facts_.transfer_blocks_optimal = limits.transfer_blocks_optimal;
        facts_.unmap_blocks_max = limits.unmap_blocks_max;
        facts_.unmap_descriptors_max = limits.unmap_descriptors_max;
        facts_.unmap_granularity = limits.unmap_granularity;
        facts_.unmap_alignment = limits.unmap_alignment;
        facts_.write_same_blocks_max = limits.write_same_blocks_max;
        break;
    }
    case VpdPage::BlockDeviceCharacteristics:
        facts_.rotational = parse_rotation_rate(*body) >= kRotationRateMin;
        break;
    case VpdPage::LogicalBlockProvisioning: provisioning_ = parse_provisioning(*body); break;
    }
    return go_on();
}

ProbeStep ProbeMachine::on_capacity(std::span<const std::byte> data) noexcept {
    const auto capacity = parse_capacity_16(data);
    if (!capacity) return fail(ProbeError::MalformedAnswer);
    if (!is_usable(*capacity)) return fail(ProbeError::BadCapacity);
    facts_.block_bytes = capacity->block_bytes;
    facts_.blocks = capacity->last_lba + 1;
    facts_.physical_block_exponent = capacity->physical_block_exponent;
    facts_.lowest_aligned_lba = capacity->lowest_aligned_lba;
    facts_.unmapped_reads_zero = capacity->reads_zero;
    thin_ = capacity->thin;
    return go_on();
}

ProbeStep ProbeMachine::on_modes(std::span<const std::byte> data) noexcept {
    const auto modes = stage_ == Stage::ModeSense10 ? parse_modes_10(data) : parse_modes_6(data);
    // The header is worth having even when the caching page has to come from the next form.
    if (modes && (!modes_ || modes->write_cache)) modes_ = modes;
    return go_on();
}

ProbeStep ProbeMachine::wait_for(Backoff backoff) noexcept {
    wait_ = backoff_delay(backoff, counts_.retries);
    return ProbeStep::Wait;
}

ProbeMachine::Stage ProbeMachine::after(Stage stage) noexcept {
    HF_ASSERT(stage < Stage::Ready);
    return static_cast<Stage>(static_cast<std::uint8_t>(stage) + 1);
}

/// To the next stage that this unit needs.
ProbeStep ProbeMachine::go_on() noexcept {
    counts_ = {};
    do {
        stage_ = after(stage_);
    } while (!is_wanted(stage_));
    if (stage_ != Stage::Ready) return ProbeStep::Continue;
    conclude();
    return ProbeStep::Ready;
}

ProbeStep ProbeMachine::fail(ProbeError error) noexcept {
    stage_ = Stage::Failed;
    error_ = error;
    return ProbeStep::Failed;
}

void ProbeMachine::restart() noexcept {
    HF_ASSERT(restarts_ < kRestartsMax);
    const auto restarts = static_cast<std::uint8_t>(restarts_ + 1);
    const SenseSummary sense = last_sense_;
    *this = ProbeMachine{lun_};
    restarts_ = restarts;
    last_sense_ = sense;
}

bool ProbeMachine::is_wanted(Stage stage) const noexcept {
    switch (stage) {
    case Stage::SerialNumber:
    case Stage::Identification:
    case Stage::BlockLimits:
    case Stage::Characteristics:
    case Stage::Provisioning: return std::ranges::find(pages_, *page_of(stage)) != pages_.end();
    case Stage::ModeSense10:
    case Stage::ModeSenseAll: return !modes_ || !modes_->write_cache;
    case Stage::WriteSameKnown:
        return facts_.write_same_blocks_max == 0 &&
               !(provisioning_ && provisioning_->write_same_unmap);
    case Stage::ReportLuns:
    case Stage::Inquiry:
    case Stage::TestUnitReady:
    case Stage::SupportedPages:
    case Stage::ReadCapacity:
    case Stage::ModeSense6:
    case Stage::TaskFunctions:
    case Stage::Ready:
    case Stage::Failed: break;
    }
    return true;
}

/// What follows from several answers together.
void ProbeMachine::conclude() noexcept {
    HF_ASSERT(facts_.blocks != 0 && facts_.block_bytes != 0);
    // Units older than page B2h tell by LBPME and the limits alone that they know UNMAP.
    const bool knows_unmap = !provisioning_ || provisioning_->unmap;
    facts_.can_unmap =
        thin_ && knows_unmap && facts_.unmap_blocks_max != 0 && facts_.unmap_descriptors_max != 0;
    facts_.can_write_same_unmap = thin_ && provisioning_ && provisioning_->write_same_unmap;
    facts_.can_write_same =
        facts_.can_write_same || facts_.can_write_same_unmap || facts_.write_same_blocks_max != 0;
    facts_.unmapped_reads_zero =
        facts_.unmapped_reads_zero || (provisioning_ && provisioning_->reads_zero);
    if (!modes_) return;
    facts_.read_only = modes_->write_protected;
    facts_.can_force_unit_access = modes_->force_unit_access;
    facts_.write_cache = modes_->write_cache.value_or(true);
}

SameUnit compare_units(const DeviceFacts& before, const DeviceFacts& now) noexcept {
    if (before.block_bytes != now.block_bytes) return SameUnit::Other;
    // Every name it had, it must still have: a unit that lost its name may be any unit.
    const bool had_designator = before.designator_type != 0;
    if (had_designator &&
        (before.designator_type != now.designator_type || before.designator != now.designator)) {
        return SameUnit::Other;
    }
    if (!before.serial.empty() && before.serial != now.serial) return SameUnit::Other;
    const bool had_name = had_designator || !before.serial.empty();
    if (!had_name && (before.vendor != now.vendor || before.product != now.product)) {
        return SameUnit::Other;
    }
    return before == now ? SameUnit::Same : SameUnit::Changed;
}

}  // namespace holdfast::initiator::scsi
