#include "reserve/raised_setting.h"

#include "reserve/kernel_file.h"

namespace holdfast::reserve {

namespace {

OrErrno<std::uint64_t> read_setting(const char* path) noexcept {
    const auto value = read_kernel_number(path);
    if (!value) return std::unexpected(value.error());
    if (*value < 0) return std::unexpected(Errno{EINVAL});
    return static_cast<std::uint64_t>(*value);
}

}  // namespace

OrErrno<SettingOutcome> RaisedSetting::settle(std::uint64_t wanted) noexcept {
    const auto present = read_setting(path_);
    if (!present) return std::unexpected(present.error());
    const LedgerStep step = reserve::settle(ledger_, *present, wanted);
    const std::uint64_t found =
        step.next.is_ours() ? step.next.found : step.write.value_or(*present);
    if (!step.write) {
        ledger_ = step.next;
        return SettingOutcome{.note = step.note, .value = *present, .found = found};
    }
    const auto written = write_kernel_number(path_, static_cast<std::int64_t>(*step.write));
    if (!written) return std::unexpected(written.error());
    ledger_ = step.next;
    const auto shown = read_setting(path_);
    if (!shown) return std::unexpected(shown.error());
    if (*shown != *step.write) return std::unexpected(Errno{EIO});
    return SettingOutcome{.note = step.note, .value = *shown, .found = found};
}

SettingState RaisedSetting::settle_to(std::uint64_t wanted) noexcept {
    const auto outcome = settle(wanted);
    if (!outcome || wanted == 0) return {.wanted = wanted};
    return {.wanted = wanted, .value = outcome->value, .found = outcome->found};
}

OrErrno<std::uint64_t> memory_kib() noexcept {
    return read_kernel_field("/proc/meminfo", "MemTotal");
}

}  // namespace holdfast::reserve
