#include "daemon/io/tier.h"

namespace holdfast::daemon {

namespace {

void add(TierVerdict& verdict, std::string_view text, std::string_view more = {}) noexcept {
    FixedString<95> reason;
    reason.assign_cut(text);
    // A reason that does not fit is cut, and a ninth one is left out: the table has them all.
    if (!reason.try_append(more)) reason.assign_cut(text);
    static_cast<void>(verdict.reasons.try_push(reason));
}

}  // namespace

TierVerdict judge_tier(const reserve::Protections& rows, ExportKind exported,
                       const reserve::Protection* gate, NetworkPath path) noexcept {
    const bool has_gate = gate != nullptr && gate->holds;
    const bool is_reserved = path == NetworkPath::Xdp;
    TierVerdict verdict{.tier = is_reserved && has_gate ? PromiseTier::A : PromiseTier::B,
                        .reasons = {}};
    if (exported != ExportKind::Ublk) {
        verdict.tier = PromiseTier::C;
        add(verdict, "the export is NBD, whose kernel client allocates memory");
    }
    for (const reserve::Protection& row : rows) {
        if (row.holds || !row.lowers_tier) continue;
        verdict.tier = PromiseTier::C;
        if (row.advice.empty())
            add(verdict, row.name.view(), " does not hold");
        else
            add(verdict, row.advice.view());
    }
    if (verdict.tier == PromiseTier::B && !is_reserved)
        add(verdict, "TCP is the kernel's; tier A needs AF_XDP zero copy");
    if (gate == nullptr)
        add(verdict, "no drop gate: stray packets are paid from the kernel reserve");
    else if (!has_gate)
        add(verdict, "no drop gate: ", gate->advice.view());
    return verdict;
}

}  // namespace holdfast::daemon
