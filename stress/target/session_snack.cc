/// Recovery level 1: what was lost is sent again as it was. RFC 7143 sections 7.1.4.1 and 11.16.
#include <algorithm>

#include "base/serial.h"
#include "stress/target/session.h"

namespace holdfast::target {
namespace {

using Number = Serial32<struct TargetRunTag>;

enum class SnackType : std::uint8_t { DataOrR2t = 0, Status = 1, DataAck = 2, ReData = 3 };

/// A length of 0 has no end.
bool is_in_run(std::uint32_t number, HeaderView request) {
    const std::uint32_t first = be32_at<at::kBegRun>(request);
    const std::uint32_t count = be32_at<at::kRunLength>(request);
    return Number{first}.precedes_or_is(Number{number}) && (count == 0 || number - first < count);
}

}  // namespace

void Session::on_snack(Link& link, const Pdu& pdu, Services& services) {
    const HeaderView request = pdu.header;
    if (params_.recovery_level == 0) {
        services.violation("11.16: a SNACK at recovery level 0");
        return send_reject(link, pdu, RejectReason::SnackReject);
    }
    ++services.counters.snacks;
    bool is_done = false;
    const std::uint64_t before = link.sent_again;
    switch (static_cast<SnackType>(flags_of(request) & 0x0fU)) {
    case SnackType::DataOrR2t:
    case SnackType::Status: is_done = send_again(link, request); break;
    case SnackType::DataAck:
        is_done =
            link.sent.acknowledge_data(be32_at<at::kTtt>(request), be32_at<at::kBegRun>(request));
        break;
    case SnackType::ReData: is_done = send_data_anew(link, request); break;
    }
    services.counters.pdus_sent_again += link.sent_again - before;
    if (is_done) return;
    ++services.counters.snacks_refused;
    services.violation("11.16: a SNACK for what was not sent, or was acknowledged");
    send_reject(link, pdu, RejectReason::SnackReject);
}

/// Copies: sending keeps anew, and what is sent again is kept already.
bool Session::send_again(Link& link, HeaderView request) {
    const bool is_status = (flags_of(request) & 0x0fU) == static_cast<unsigned>(SnackType::Status);
    const std::uint32_t itt = be32_at<at::kItt>(request);
    bool is_any = false;
    link.keeps_sent = false;
    for (const Sent& sent : link.sent.all()) {
        const bool is_wanted = is_status ? sent.is_counted() && is_in_run(sent.stat_sn(), request)
                                         : sent.is_of_task() && sent.itt() == itt &&
                                               is_in_run(sent.data_sn(), request);
        if (!is_wanted) continue;
        is_any = true;
        Header header = sent.header;
        put_window(header);
        link.send(header, sent.data);
        ++link.sent_again;
    }
    link.keeps_sent = true;
    return is_any;
}

/// R-Data: all data of the command in segments of today's size, and the status in a PDU of its own
/// that carries the SNACK Tag.
bool Session::send_data_anew(Link& link, HeaderView request) {
    const std::uint32_t tag = be32_at<at::kTtt>(request);
    if (tag == kNoTag || tag == 0) return false;
    const std::vector<Sent> old = link.sent.take_task(be32_at<at::kItt>(request));
    std::vector<std::byte> data;
    for (const Sent& sent : old) {
        if (sent.opcode() != Opcode::DataIn) continue;
        const std::size_t begin = be32_at<at::kBufferOffset>(HeaderView{sent.header});
        data.resize(std::max(data.size(), begin + sent.data.size()));
        std::ranges::copy(sent.data, std::span{data}.subspan(begin).begin());
    }
    if (data.empty()) return false;
    std::uint32_t data_sn = 0;
    for (std::size_t offset = 0; offset < data.size();) {
        const std::size_t burst_left = params_.max_burst_bytes - offset % params_.max_burst_bytes;
        const std::size_t bytes = std::min<std::size_t>(
            {data.size() - offset, burst_left, link.params.peer_max_recv_bytes});
        const bool is_last = bytes == burst_left || offset + bytes == data.size();
        Header header = start_header(Opcode::DataIn);
        const std::span out{header};
        put_u8<at::kFlags>(out, is_last ? bit::kFinal : std::uint8_t{0});
        put_be32<at::kItt>(out, be32_at<at::kItt>(request));
        put_be32<at::kTtt>(out, kNoTag);
        put_window(header);
        put_be32<at::kDataSn>(out, data_sn++);
        put_be32<at::kBufferOffset>(out, static_cast<std::uint32_t>(offset));
        link.send(header, Bytes{data}.subspan(offset, bytes));
        ++link.sent_again;
        offset += bytes;
    }
    const auto status = std::ranges::find_if(old, &Sent::is_counted);
    if (status != old.end()) send_tagged_status(link, *status, tag, data_sn);
    return true;
}

void Session::send_tagged_status(Link& link, const Sent& before, std::uint32_t tag,
                                 std::uint32_t data_count) {
    const HeaderView old{before.header};
    Header header = start_header(Opcode::ScsiResponse);
    const std::span out{header};
    const std::uint8_t residual = flags_of(old) & (bit::kOverflow | bit::kUnderflow);
    put_u8<at::kFlags>(out, static_cast<std::uint8_t>(bit::kFinal | residual));
    put_u8<at::kStatus>(out, u8_at<at::kStatus>(old));
    put_be32<at::kItt>(out, before.itt());
    put_be32<at::kStatSn>(out, before.stat_sn());
    put_window(header);
    put_be32<at::kDataSn>(out, data_count);
    put_be32<at::kSnackTag>(out, tag);
    put_be32<at::kResidual>(out, be32_at<at::kResidual>(old));
    link.send(header, before.opcode() == Opcode::DataIn ? Bytes{} : Bytes{before.data});
    ++link.sent_again;
}

}  // namespace holdfast::target
