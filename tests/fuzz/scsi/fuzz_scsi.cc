/// Every parser of initiator/scsi on the same bytes, and the probe machine on a script of them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "base/bytes.h"
#include "initiator/scsi/capacity.h"
#include "initiator/scsi/inquiry.h"
#include "initiator/scsi/lun.h"
#include "initiator/scsi/probe_machine.h"
#include "initiator/scsi/sense.h"
#include "initiator/scsi/verdict.h"

namespace holdfast::initiator::scsi {
namespace {

void parse_everything(std::span<const std::byte> data) {
    if (const auto sense = sense_in_response(data)) static_cast<void>(parse_sense(*sense));
    static_cast<void>(parse_sense(data));
    if (const auto list = LunList::parse(data)) {
        for (std::size_t i = 0; i < list->size(); ++i) {
            const Lun lun = list->at(i);
            HF_ASSERT(list->contains(lun));
            if (const auto number = number_of_lun(lun)) {
                HF_ASSERT(is_same_lun(*lun_of_number(*number), lun));
            }
        }
    }
    static_cast<void>(parse_standard_inquiry(data));
    for (int page = 0; page < 256; ++page) {
        const auto body = vpd_body(data, static_cast<VpdPage>(page));
        if (!body) continue;
        HF_ASSERT(body->size() + 4 <= data.size());
        static_cast<void>(vpd_lists(*body, VpdPage::BlockLimits));
        static_cast<void>(parse_serial_number(*body));
        static_cast<void>(parse_block_limits(*body));
        static_cast<void>(parse_rotation_rate(*body));
        static_cast<void>(parse_provisioning(*body));
        const Designator best = best_designator(*body);
        for (const char c : best.text.view()) HF_ASSERT(c >= ' ' && c <= '~');
    }
    if (const auto capacity = parse_capacity_16(data)) {
        if (is_usable(*capacity)) HF_ASSERT(capacity->last_lba + 1 != 0);
    }
    static_cast<void>(parse_modes_6(data));
    static_cast<void>(parse_modes_10(data));
    static_cast<void>(parse_is_supported(data));
}

void judge(std::span<const std::byte> data) {
    ByteReader reader{data};
    const auto response = reader.try_u8();
    const auto status = reader.try_u8();
    const auto residual = reader.try_u8();
    const auto kind = reader.try_u8();
    if (!response || !status || !residual || !kind) return;
    const CommandEnd end{.response = *response,
                         .status = static_cast<Status>(*status),
                         .residual = static_cast<Residual>(*residual % 3),
                         .residual_bytes = *residual,
                         .data_segment = reader.rest()};
    const Verdict judged = verdict(end, {.kind = static_cast<RequestKind>(*kind % 5),
                                         .force_unit_access = (*kind & 0x80U) != 0,
                                         .is_logging_out = (*kind & 0x40U) != 0});
    HF_ASSERT((judged.step == Step::Fail) == (judged.outcome != Outcome::Done));
    HF_ASSERT(judged.step == Step::Fail || !judged.feature_refused);
}

/// Each answer: response, status, length of data, length of sense segment, then the bytes.
void probe(std::span<const std::byte> script) {
    ProbeMachine machine{Lun{0x0001'0000'0000'0000}};
    ByteReader reader{script};
    while (true) {
        const ProbeCommand command = machine.next_command();
        HF_ASSERT(command.data_in_bytes <= kProbeDataBytesMax);
        const auto response = reader.try_u8();
        const auto status = reader.try_u8();
        const auto data_bytes = reader.try_be16();
        const auto segment_bytes = reader.try_u8();
        if (!response || !status || !data_bytes || !segment_bytes) return;
        const auto data = reader.try_bytes(
            std::min<std::size_t>({*data_bytes, command.data_in_bytes, reader.left_bytes()}));
        const auto segment =
            reader.try_bytes(std::min<std::size_t>(*segment_bytes, reader.left_bytes()));
        const ProbeStep step = machine.on_result({.response = *response,
                                                  .status = static_cast<Status>(*status),
                                                  .data_segment = *segment},
                                                 *data);
        if (step == ProbeStep::Ready) {
            HF_ASSERT(machine.facts().blocks != 0 && machine.facts().block_bytes >= 512);
            HF_ASSERT(compare_units(machine.facts(), machine.facts()) == SameUnit::Same);
        }
        if (step != ProbeStep::Continue && step != ProbeStep::Wait) return;
    }
}

}  // namespace
}  // namespace holdfast::initiator::scsi

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    holdfast::initiator::scsi::parse_everything(bytes);
    holdfast::initiator::scsi::judge(bytes);
    holdfast::initiator::scsi::probe(bytes);
    return 0;
}
