#include "reserve/kernel_reserve.h"

#include "reserve/kernel_file.h"

namespace holdfast::reserve {

namespace {

OrErrno<std::uint64_t> read_kib(const char* path) noexcept {
    const auto value = read_kernel_number(path);
    if (!value) return std::unexpected(value.error());
    if (*value < 0) return std::unexpected(Errno{EINVAL});
    return static_cast<std::uint64_t>(*value);
}

}  // namespace

OrErrno<ReserveOutcome> KernelReserve::settle(std::uint64_t wanted_kib) noexcept {
    const auto present = read_kib(path_);
    if (!present) return std::unexpected(present.error());
    const LedgerStep step = reserve::settle(ledger_, *present, wanted_kib);
    const FixedString<127> line = line_of(step, *present);
    if (!step.write_kib) {
        ledger_ = step.next;
        return ReserveOutcome{.note = step.note, .min_free_kib = *present, .line = line};
    }
    const auto written = write_kernel_number(path_, static_cast<std::int64_t>(*step.write_kib));
    if (!written) return std::unexpected(written.error());
    ledger_ = step.next;
    const auto found = read_kib(path_);
    if (!found) return std::unexpected(found.error());
    if (*found != *step.write_kib) return std::unexpected(Errno{EIO});
    return ReserveOutcome{.note = step.note, .min_free_kib = *found, .line = line};
}

OrErrno<std::uint64_t> memory_kib() noexcept {
    return read_kernel_field("/proc/meminfo", "MemTotal");
}

}  // namespace holdfast::reserve
