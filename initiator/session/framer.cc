#include "initiator/session/framer.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace holdfast::initiator {

namespace {

/// MaxRecvDataSegmentLength until login ends. RFC 7143 section 6.3.
constexpr std::uint32_t kLoginSegmentBytesMax = 8192;
/// A payload at least this long is worth a receive of its own: the stage behind it is kept short,
/// so that the next long payload lands in its place instead of being copied out of the stage.
constexpr std::size_t kLongPayloadBytes = 16 * 1024;
/// Room for a response and the next header behind a long payload, bytes.
constexpr std::size_t kShortStageBytes = 256;
constexpr std::size_t kStageBytesMin = 4096;

void copy(std::span<std::byte> to, std::span<const std::byte> from) noexcept {
    HF_ASSERT(to.size() >= from.size());
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

}  // namespace

Framer::Framer(std::span<std::byte> stage) noexcept : stage_(stage) {
    HF_ASSERT(stage.size() >= kStageBytesMin);
    restart();
}

void Framer::restart() noexcept {
    pending_ = {};
    at_ = At::Header;
    header_have_ = 0;
    place_ = {};
    placed_bytes_ = 0;
    offered_bytes_ = 0;
    agree({}, kLoginSegmentBytesMax);
}

void Framer::agree(DigestsInUse digests, std::uint32_t segment_bytes_max) noexcept {
    HF_ASSERT(at_ == At::Header && header_have_ == 0);
    HF_ASSERT(segment_bytes_max <= kDataSegmentBytesMax);
    digests_ = digests;
    segment_bytes_max_ = segment_bytes_max;
}

std::span<std::span<std::byte>> Framer::spaces(std::span<std::span<std::byte>> out) noexcept {
    HF_ASSERT(out.size() >= kSpansMax && pending_.empty());
    offered_bytes_ = 0;
    if (at_ == At::Broken) return {};
    std::size_t count = 0;
    std::size_t stage_bytes = stage_.size();
    if (at_ == At::Payload && placed_bytes_ < place_.size()) {
        out[count] = place_.subspan(placed_bytes_);
        if (out[count].size() >= kLongPayloadBytes) stage_bytes = kShortStageBytes;
        offered_bytes_ += out[count].size();
        ++count;
    }
    out[count] = stage_.first(stage_bytes);
    offered_bytes_ += stage_bytes;
    return out.first(count + 1);
}

void Framer::filled(std::size_t bytes) noexcept {
    HF_ASSERT(bytes <= offered_bytes_ && pending_.empty());
    offered_bytes_ = 0;
    std::size_t direct = 0;
    if (at_ == At::Payload) {
        direct = std::min(bytes, place_.size() - placed_bytes_);
        if (digests_.data) data_crc_.update(place_.subspan(placed_bytes_, direct));
        placed_bytes_ += direct;
    }
    pending_ = stage_.first(bytes - direct);
}

std::span<const std::byte> Framer::take_pending(std::size_t most) noexcept {
    const auto taken = pending_.first(std::min(most, pending_.size()));
    pending_ = pending_.subspan(taken.size());
    return taken;
}

Framed Framer::next() noexcept {
    HF_ASSERT(at_ != At::Placement);
    if (at_ == At::Header) {
        const std::size_t whole = kBhsBytes + (digests_.header ? kDigestBytes : 0);
        const auto got = take_pending(whole - header_have_);
        copy(std::span{header_}.subspan(header_have_), got);
        header_have_ += got.size();
        if (header_have_ < whole) return Framed::NeedsBytes;
        return on_header();
    }
    if (at_ == At::Payload && !take_payload()) return Framed::NeedsBytes;
    if (at_ == At::Tail) return on_tail();
    return Framed::NeedsBytes;  // Broken: whatever still comes is dropped.
}

Framed Framer::broken(Framed how) noexcept {
    at_ = At::Broken;
    pending_ = {};
    return how;
}

Framed Framer::on_header() noexcept {
    if (digests_.header) {
        Crc32c crc;
        crc.update(header());
        if (!digest_matches(crc, std::span{header_}.subspan<kBhsBytes, kDigestBytes>())) {
            return broken(Framed::HeaderDigestWrong);
        }
    }
    const auto opcode = opcode_of(header());
    if (!opcode) {
        violation_ = opcode.error();
        return broken(Framed::Violation);
    }
    if (data_segment_bytes(header()) > segment_bytes_max_) {
        violation_ = Violation::SegmentTooLong;
        return broken(Framed::Violation);
    }
    layout_ = layout_of(header(), digests_);
    at_ = At::Placement;
    return Framed::Header;
}

void Framer::place_payload(std::span<std::byte> place) noexcept {
    HF_ASSERT(at_ == At::Placement && place.size() <= layout_.data_bytes);
    place_ = place;
    placed_bytes_ = 0;
    dropped_bytes_ = 0;
    tail_have_ = 0;
    data_crc_ = Crc32c{};
    at_ = At::Payload;
}

bool Framer::take_payload() noexcept {
    const auto kept = take_pending(place_.size() - placed_bytes_);
    copy(place_.subspan(placed_bytes_), kept);
    placed_bytes_ += kept.size();
    const std::size_t to_drop = layout_.data_bytes - place_.size();
    const bool is_placed = placed_bytes_ == place_.size();
    const auto dropped = take_pending(is_placed ? to_drop - dropped_bytes_ : 0);
    dropped_bytes_ += dropped.size();
    if (digests_.data) {
        data_crc_.update(kept);
        data_crc_.update(dropped);
    }
    if (!is_placed || dropped_bytes_ < to_drop) return false;
    at_ = At::Tail;
    return true;
}

Framed Framer::on_tail() noexcept {
    const std::size_t whole = layout_.padding_bytes + layout_.data_digest_bytes;
    const auto got = take_pending(whole - tail_have_);
    copy(std::span{tail_}.subspan(tail_have_), got);
    tail_have_ += got.size();
    if (tail_have_ < whole) return Framed::NeedsBytes;
    at_ = At::Header;
    header_have_ = 0;
    if (layout_.data_digest_bytes == 0) return Framed::Pdu;
    data_crc_.update(std::span{tail_}.first(layout_.padding_bytes));
    const auto digest = std::span{tail_}.subspan(layout_.padding_bytes).first<kDigestBytes>();
    return digest_matches(data_crc_, digest) ? Framed::Pdu : Framed::DataDigestWrong;
}

}  // namespace holdfast::initiator
