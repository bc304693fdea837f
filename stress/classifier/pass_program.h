/// The least that a device may have as an XDP program: one that passes everything. What others cost
/// is measured against it.
#pragma once

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <array>

#include "base/unique_fd.h"

namespace holdfast::stress {

/// In the driver; attached as long as the descriptor is open. Empty: errno says why. Needs
/// CAP_BPF and CAP_NET_ADMIN.
inline UniqueFd attach_pass_program(const char* interface) noexcept {
    std::array<bpf_insn, 2> program{};
    program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    program[0].imm = XDP_PASS;
    program[1].code = BPF_JMP | BPF_EXIT;
    bpf_prog_load_opts how{};
    how.sz = sizeof how;
    how.prog_flags = BPF_F_XDP_HAS_FRAGS;
    const UniqueFd loaded{
        bpf_prog_load(BPF_PROG_TYPE_XDP, nullptr, "GPL", program.data(), program.size(), &how)};
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = XDP_FLAGS_DRV_MODE;
    const auto index = static_cast<int>(::if_nametoindex(interface));
    return UniqueFd{bpf_link_create(loaded.get(), index, BPF_XDP, &options)};
}

}  // namespace holdfast::stress
