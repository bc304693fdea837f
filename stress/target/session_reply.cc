/// Answers to commands: Data-In, status and residuals. RFC 7143 sections 11.4 and 11.7.
#include <algorithm>

#include "stress/target/session.h"

namespace holdfast::target {
namespace {

/// How far the transfer differs from what the initiator expected. Section 11.4.5.
struct Residual {
    std::uint8_t flag = 0;
    std::uint32_t count = 0;
};

Residual residual_of(std::uint64_t expected, std::uint64_t real) {
    if (real > expected)
        return {bit::kOverflow,
                static_cast<std::uint32_t>(std::min<std::uint64_t>(real - expected, 0xffff'ffffU))};
    if (real < expected) return {bit::kUnderflow, static_cast<std::uint32_t>(expected - real)};
    return {};
}

Residual residual_of(const Task& task, const Outcome& outcome) {
    const bool moves = (task.flags & (bit::kRead | bit::kWrite)) != 0;
    const std::uint64_t expected = moves ? task.edtl : 0;
    if (outcome.status != ScsiStatus::Good) return residual_of(expected, task.out_received);
    return residual_of(expected, std::max<std::uint64_t>(outcome.data().size(), task.out_total));
}

/// One Data-In PDU to be.
struct Piece {
    std::size_t offset = 0;
    std::size_t length = 0;
    bool final = false;
};

template <class T>
void shuffle(std::vector<T>& items, SplitMix64& random) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

/// Cuts `total` bytes into sequences of at most MaxBurstLength, and these into PDUs.
std::vector<Piece> cut_into_pieces(std::size_t total, std::size_t piece_max,
                                   const SessionParams& params, SplitMix64* random) {
    std::vector<std::vector<Piece>> sequences;
    for (std::size_t begin = 0; begin < total; begin += params.max_burst_bytes) {
        const std::size_t end = std::min<std::size_t>(total, begin + params.max_burst_bytes);
        auto& sequence = sequences.emplace_back();
        for (std::size_t offset = begin; offset < end; offset += piece_max)
            sequence.push_back(
                Piece{.offset = offset, .length = std::min(piece_max, end - offset)});
        if (random != nullptr && !params.data_pdu_in_order) shuffle(sequence, *random);
        sequence.back().final = true;
    }
    if (random != nullptr && !params.data_sequence_in_order) shuffle(sequences, *random);
    std::vector<Piece> pieces;
    for (const auto& sequence : sequences)
        pieces.insert(pieces.end(), sequence.begin(), sequence.end());
    return pieces;
}

}  // namespace

std::uint32_t Session::send_data_in(Link& link, const Task& task, const Outcome& outcome,
                                    Services& services) {
    const Bytes all = outcome.data();
    const Bytes data = all.first(std::min<std::size_t>(all.size(), task.edtl));
    services.counters.bytes_read += data.size();
    std::vector<Piece> pieces;
    if (data.size() <= link.params.peer_max_recv_bytes && data.size() <= params_.max_burst_bytes) {
        pieces.push_back(Piece{.offset = 0, .length = data.size(), .final = true});
    } else {
        pieces = cut_into_pieces(data.size(), link.params.peer_max_recv_bytes, params_,
                                 services.config.shuffle ? &services.random : nullptr);
    }
    const auto source = outcome.reply.empty() ? DataSource::Disk : DataSource::Copied;
    std::uint32_t data_sn = 0;
    for (const Piece& piece : pieces) {
        if (data_sn < task.first_data_sn && data_sn + 1 < pieces.size()) {
            ++data_sn;
            continue;
        }
        Header header = start_header(Opcode::DataIn);
        const std::span out{header};
        std::uint8_t flags = piece.final ? bit::kFinal : std::uint8_t{0};
        put_be32<at::kItt>(out, task.itt);
        put_be32<at::kTtt>(out, kNoTag);
        put_window(header);
        put_be32<at::kDataSn>(out, data_sn++);
        put_be32<at::kBufferOffset>(out, static_cast<std::uint32_t>(piece.offset));
        // One DataACK for each sequence but the last, whose status tells as much.
        if (params_.recovery_level > 0 && piece.final && data_sn < pieces.size()) {
            flags |= bit::kAcknowledge;
            put_be16<at::kLun>(out, wire_lun(task.lun));
            put_be32<at::kTtt>(out, next_tag());
        }
        if (services.config.status_in_data && data_sn == pieces.size()) {
            const Residual residual = residual_of(task, outcome);
            flags = static_cast<std::uint8_t>(bit::kFinal | bit::kStatusInData | residual.flag);
            put_be32<at::kResidual>(out, residual.count);
            link.put_stat_sn(header, true);
        }
        put_u8<at::kFlags>(out, flags);
        link.send(header, data.subspan(piece.offset, piece.length), source);
    }
    return data_sn;
}

void Session::send_response(Link& link, const Task& task, const Outcome& outcome,
                            std::uint32_t data_count) {
    constexpr std::size_t kSenseLengthBytes = 2;
    const Residual residual = residual_of(task, outcome);
    Header header = start_header(Opcode::ScsiResponse);
    const std::span out{header};
    put_u8<at::kFlags>(out, static_cast<std::uint8_t>(bit::kFinal | residual.flag));
    put_u8<at::kStatus>(out, static_cast<std::uint8_t>(outcome.status));
    put_be32<at::kItt>(out, task.itt);
    link.put_stat_sn(header, true);
    put_window(header);
    put_be32<at::kDataSn>(out, data_count);
    put_be32<at::kResidual>(out, residual.count);
    if (outcome.status != ScsiStatus::CheckCondition) {
        link.send(header, {});
        return;
    }
    const auto sense = fixed_sense(outcome.sense);
    std::array<std::byte, kSenseLengthBytes + sense.size()> data{};
    put_be16<0>(std::span{data}, static_cast<std::uint16_t>(sense.size()));
    std::ranges::copy(sense, std::span{data}.subspan<kSenseLengthBytes>().begin());
    link.send(header, data);
}

void Session::finish(Link& link, const Task& task, const Outcome& outcome, Services& services) {
    if (task.faults.drop_reply) return;
    answer(link, task, outcome, services);
    if (keeps_tasks()) keep_answer(link.id, link.stat_sn - 1, task, outcome);
}

void Session::answer(Link& link, const Task& task, const Outcome& outcome, Services& services) {
    const bool reads = (task.flags & bit::kRead) != 0 && task.edtl != 0 &&
                       outcome.status == ScsiStatus::Good && !outcome.data().empty();
    const std::uint32_t data_count = reads ? send_data_in(link, task, outcome, services) : 0;
    if (!reads || !services.config.status_in_data) {
        send_response(link, task, outcome, data_count);
    }
}

}  // namespace holdfast::target
