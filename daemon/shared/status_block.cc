#include "daemon/shared/status_block.h"

#include <algorithm>

#include "daemon/shared/plain_sound.h"

namespace holdfast::daemon {

namespace {

using plain::is_sound;

bool is_sound(const ProtectionRow& row) noexcept {
    return is_sound(row.name) && is_sound(row.wanted) && is_sound(row.found) &&
           is_sound(row.advice) && is_sound(row.holds);
}

bool is_sound(const initiator::DeviceFacts& device) noexcept {
    return is_sound(device.can_unmap) && is_sound(device.can_write_same) &&
           is_sound(device.can_write_same_unmap) && is_sound(device.unmapped_reads_zero) &&
           is_sound(device.rotational) && is_sound(device.write_cache) &&
           is_sound(device.can_force_unit_access) && is_sound(device.read_only) &&
           is_sound(device.vendor) && is_sound(device.product) && is_sound(device.revision) &&
           is_sound(device.serial) && is_sound(device.designator);
}

bool is_sound(const ExportState& exported) noexcept {
    return static_cast<std::uint8_t>(exported.kind) < kExportKindCount &&
           is_sound(exported.is_ready) && is_sound(exported.read_only) && is_sound(exported.path);
}

bool is_sound(const PathState& path) noexcept {
    return static_cast<std::uint8_t>(path.kind) < kNetworkPathCount &&
           is_sound(path.is_zero_copy) && is_sound(path.interface);
}

template <class T, std::size_t N>
bool has_sound_size(const FixedVector<T, N>& list) noexcept {
    return list.size() <= N;
}

bool enumerators_are_known(const StatusFacts& facts) noexcept {
    return static_cast<std::uint8_t>(facts.profile) < kProfileCount &&
           static_cast<std::uint8_t>(facts.tier) < kTierCount &&
           static_cast<std::uint8_t>(facts.phase) < kIoPhaseCount &&
           facts.session_phase <= initiator::SessionPhase::Ended &&
           facts.counters.fence <= initiator::FenceReliance::Wait &&
           facts.device.unit_reset <= initiator::Told::Yes;
}

}  // namespace

bool facts_are_sound(const StatusFacts& facts) noexcept {
    if (!enumerators_are_known(facts)) return false;
    if (!is_sound(facts.name) || !is_sound(facts.target_name) || !is_sound(facts.portal_host))
        return false;
    if (!has_sound_size(facts.tier_reasons) || !has_sound_size(facts.protections) ||
        !has_sound_size(facts.notices))
        return false;
    const bool reasons_are_sound =
        std::ranges::all_of(facts.tier_reasons, [](const auto& text) { return is_sound(text); });
    const bool rows_are_sound =
        std::ranges::all_of(facts.protections, [](const auto& row) { return is_sound(row); });
    return reasons_are_sound && rows_are_sound && is_sound(facts.device) &&
           is_sound(facts.exported) && is_sound(facts.path);
}

}  // namespace holdfast::daemon
