#include "tests/sim/wire.h"

#include <algorithm>

namespace holdfast::sim {

namespace {

std::size_t padded(std::size_t bytes) {
    return (bytes + 3) / 4 * 4;
}

std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
        }
        table.at(i) = crc;
    }
    return table;
}

std::string yes_no(bool value) {
    return value ? "Yes" : "No";
}

/// The answer to one operational key; empty: none is due.
std::string answer_key(const std::string& key, const std::string& offer,
                       const TargetParameters& ours, Agreed& agreed) {
    const auto number = [&] { return static_cast<std::uint32_t>(std::stoul(offer)); };
    const auto least = [&](std::uint32_t mine, auto& into) {
        using Into = std::remove_reference_t<decltype(into)>;
        into = static_cast<Into>(std::min(mine, number()));
        return std::to_string(into);
    };
    const auto digest = [&](bool wish, bool& into) -> std::string {
        into = wish && offer.find("CRC32C") != std::string::npos;
        if (!into && offer.find("None") == std::string::npos) into = true;
        return into ? "CRC32C" : "None";
    };
    if (key == "HeaderDigest") return digest(ours.header_digest, agreed.digests.header);
    if (key == "DataDigest") return digest(ours.data_digest, agreed.digests.data);
    if (key == "MaxRecvDataSegmentLength") {
        agreed.initiator_recv_bytes = number();
        return {};
    }
    if (key == "MaxBurstLength") return least(ours.max_burst_bytes, agreed.max_burst_bytes);
    if (key == "FirstBurstLength") return least(ours.first_burst_bytes, agreed.first_burst_bytes);
    if (key == "MaxOutstandingR2T") return least(ours.max_r2t, agreed.max_r2t);
    if (key == "MaxConnections") return least(ours.max_connections, agreed.max_connections);
    if (key == "ErrorRecoveryLevel") {
        return least(ours.error_recovery_level, agreed.error_recovery_level);
    }
    if (key == "DefaultTime2Wait") {
        return std::to_string(std::max<std::uint32_t>(ours.time2wait_s, number()));
    }
    if (key == "DefaultTime2Retain") return std::to_string(std::min<std::uint32_t>(20, number()));
    if (key == "InitialR2T") {
        agreed.initial_r2t = ours.initial_r2t || offer == "Yes";
        return yes_no(agreed.initial_r2t);
    }
    if (key == "ImmediateData") {
        agreed.immediate_data = ours.immediate_data && offer == "Yes";
        return yes_no(agreed.immediate_data);
    }
    if (key == "DataPDUInOrder") {
        agreed.pdu_in_order = ours.data_in_order || offer == "Yes";
        return yes_no(agreed.pdu_in_order);
    }
    if (key == "DataSequenceInOrder") {
        agreed.sequence_in_order = ours.data_in_order || offer == "Yes";
        return yes_no(agreed.sequence_in_order);
    }
    const bool is_declaration = key == "InitiatorName" || key == "TargetName" ||
                                key == "SessionType" || key == "InitiatorAlias";
    return is_declaration ? std::string{} : "NotUnderstood";
}

}  // namespace

std::array<std::uint8_t, 4> crc32c(std::span<const std::uint8_t> bytes) {
    static const auto table = make_table();
    std::uint32_t crc = 0xffffffffU;
    for (const std::uint8_t byte : bytes) crc = table.at((crc ^ byte) & 0xff) ^ (crc >> 8);
    crc = ~crc;
    return {static_cast<std::uint8_t>(crc), static_cast<std::uint8_t>(crc >> 8),
            static_cast<std::uint8_t>(crc >> 16), static_cast<std::uint8_t>(crc >> 24)};
}

Bytes encode(Pdu pdu, Digests digests) {
    pdu.put(5, 3, pdu.data.size());
    Bytes wire{pdu.bhs.begin(), pdu.bhs.end()};
    if (digests.header) {
        const auto digest = crc32c(pdu.bhs);
        wire.insert(wire.end(), digest.begin(), digest.end());
    }
    if (pdu.data.empty()) return wire;
    pdu.data.resize(padded(pdu.data.size()));
    wire.insert(wire.end(), pdu.data.begin(), pdu.data.end());
    if (digests.data) {
        const auto digest = crc32c(pdu.data);
        wire.insert(wire.end(), digest.begin(), digest.end());
    }
    return wire;
}

void Decoder::add(std::span<const std::uint8_t> bytes) {
    stream_.insert(stream_.end(), bytes.begin(), bytes.end());
}

std::optional<Pdu> Decoder::next() {
    const std::size_t head = 48 + (digests.header ? 4U : 0U);
    if (is_broken_ || stream_.size() < head) return {};
    const std::span<const std::uint8_t> all{stream_};
    Pdu pdu;
    std::copy_n(stream_.begin(), 48, pdu.bhs.begin());
    if (digests.header && !std::ranges::equal(crc32c(all.first(48)), all.subspan(48, 4))) {
        is_broken_ = true;
        return {};
    }
    if (pdu.bhs[4] != 0) {
        is_broken_ = true;
        return {};
    }
    const auto bytes = static_cast<std::size_t>(pdu.get(5, 3));
    const std::size_t body = padded(bytes) + (digests.data && bytes > 0 ? 4U : 0U);
    if (stream_.size() < head + body) return {};
    const auto data = all.subspan(head, bytes);
    pdu.data.assign(data.begin(), data.end());
    if (digests.data && bytes > 0) {
        const auto covered = all.subspan(head, padded(bytes));
        const auto digest = all.subspan(head + padded(bytes), 4);
        if (!std::ranges::equal(crc32c(covered), digest)) is_broken_ = true;
        if (is_broken_) return {};
    }
    stream_.erase(stream_.begin(), stream_.begin() + static_cast<std::ptrdiff_t>(head + body));
    return pdu;
}

TextPairs parse_text(std::span<const std::uint8_t> data) {
    TextPairs pairs;
    std::string item;
    for (const std::uint8_t byte : data) {
        if (byte != 0) {
            item.push_back(static_cast<char>(byte));
            continue;
        }
        const auto equals = item.find('=');
        if (equals != std::string::npos) {
            pairs.emplace_back(item.substr(0, equals), item.substr(equals + 1));
        }
        item.clear();
    }
    return pairs;
}

Bytes make_text(const TextPairs& pairs) {
    Bytes text;
    for (const auto& [key, value] : pairs) {
        text.insert(text.end(), key.begin(), key.end());
        text.push_back('=');
        text.insert(text.end(), value.begin(), value.end());
        text.push_back(0);
    }
    return text;
}

LoginAnswer answer_login(const Pdu& request, const TargetParameters& ours, Agreed& agreed) {
    const std::uint8_t flags = request.bhs[1];
    const std::uint8_t current = (flags >> 2) & 3;
    const std::uint8_t next = flags & 3;
    const bool is_transit = (flags & 0x80) != 0;
    LoginAnswer answer;
    TextPairs pairs;
    bool has_operational = false;
    for (const auto& [key, value] : parse_text(request.data)) {
        if (key == "AuthMethod") {
            pairs.emplace_back(key, "None");
            continue;
        }
        has_operational = has_operational || current == 1;
        const std::string said = answer_key(key, value, ours, agreed);
        if (!said.empty()) pairs.emplace_back(key, said);
    }
    if (has_operational) {
        pairs.emplace_back("MaxRecvDataSegmentLength", std::to_string(ours.max_recv_bytes));
    }
    Pdu& pdu = answer.response;
    pdu.bhs[0] = kLoginResponse;
    pdu.bhs[1] = static_cast<std::uint8_t>((flags & 0x8c) | (is_transit ? next : 0));
    pdu.put(8, 6, request.get(8, 6));
    answer.is_last = is_transit && next == 3;
    pdu.put(14, 2, answer.is_last ? 0x77 : 0);
    pdu.put(16, 4, request.itt());
    pdu.data = make_text(pairs);
    return answer;
}

}  // namespace holdfast::sim
