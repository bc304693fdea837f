#include "stress/target/link.h"

#include <algorithm>
#include <array>

#include "stress/target/digest.h"

namespace holdfast::target {
namespace {

/// Below this a copy is cheaper than another piece in the scatter list.
constexpr std::size_t kBorrowBytesMin = 16 * 1024;
constexpr std::array<std::byte, 3> kPadding{};

Digest spoiled(Digest digest, bool spoil) {
    if (spoil) digest[0] ^= std::byte{0x55};
    return digest;
}

}  // namespace

StoredPdu StoredPdu::copy_of(const Pdu& pdu) {
    StoredPdu stored{
        .header = {}, .data = {pdu.data.begin(), pdu.data.end()}, .data_intact = pdu.data_intact};
    std::ranges::copy(pdu.header, stored.header.begin());
    return stored;
}

Link::Link(LinkId link_id, const TargetConfig& config, std::string local, Counters& counters)
    : id(link_id),
      local_address(std::move(local)),
      rx(std::max<std::size_t>(8192, config.operational.max_recv_data_segment_bytes)),
      stat_sn(config.first_stat_sn),
      counters_(counters) {}

void Link::put_stat_sn(Header& header, bool advance) {
    put_be32<at::kStatSn>(std::span{header}, stat_sn);
    if (advance) ++stat_sn;
}

Link::Spoil Link::take_spoil(Bytes data) {
    Spoil spoil;
    std::erase_if(armed_, [&](const FaultAction& fault) {
        if (fault.kind == FaultKind::CorruptHeaderDigest && params.digests.header)
            return spoil.header_digest = true;
        if (fault.kind == FaultKind::CorruptDataDigest && params.digests.data && !data.empty())
            return spoil.data_digest = true;
        if (fault.kind == FaultKind::CorruptData && !data.empty()) return spoil.data = true;
        if (fault.kind == FaultKind::LosePdu && full_feature) return spoil.whole = true;
        if (fault.kind != FaultKind::CloseAtByte) return false;
        spoil.cut_at = fault.number;
        return true;
    });
    return spoil;
}

void Link::send_data(Bytes data, DataSource source, const Spoil& spoil) {
    const auto padding = Bytes{kPadding}.first(padded(data.size()) - data.size());
    std::vector<std::byte> changed;
    if (spoil.data) {
        changed.assign(data.begin(), data.end());
        changed[changed.size() / 2] ^= std::byte{0xff};
        data = changed;
        source = DataSource::Copied;
    }
    DigestSum sum;
    if (params.digests.data) {
        sum.add(data);
        sum.add(padding);
        // The disk may change before the bytes leave, and the digest must not lie then.
        source = DataSource::Copied;
    }
    if (source == DataSource::Disk && data.size() >= kBorrowBytesMin) {
        tx.append_borrowed(data);
    } else {
        tx.append(data);
    }
    tx.append(padding);
    if (params.digests.data) tx.append(spoiled(sum.wire(), spoil.data_digest));
}

void Link::send(Header& header, Bytes data, DataSource source) {
    if (state != LinkState::Open) return;
    ++counters_.pdus_sent;
    const Spoil spoil = armed_.empty() ? Spoil{} : take_spoil(data);
    put_be24<at::kDataLength>(std::span{header}, static_cast<std::uint32_t>(data.size()));
    if (keeps_sent) sent.keep(header, data);
    if (spoil.whole) return;
    const std::size_t before = tx.pending_bytes();
    tx.append(header);
    if (params.digests.header) tx.append(spoiled(digest_of(header), spoil.header_digest));
    if (!data.empty()) send_data(data, source, spoil);
    if (!spoil.cut_at) return;
    const std::size_t whole = tx.pending_bytes() - before;
    tx.cut_to(before + std::min<std::size_t>(whole, *spoil.cut_at));
    close_after_flush();
}

}  // namespace holdfast::target
