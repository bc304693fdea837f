#include "stress/target/rx_buffer.h"

#include <algorithm>

#include "base/assert.h"
#include "stress/target/digest.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kDigestBytes = 4;
constexpr std::size_t kAhsBytesMax = 255 * 4;
/// One read takes at least this much, so that a burst of small commands costs one call.
constexpr std::size_t kReadBytesMin = 128 * 1024;

bool digest_matches(Bytes covered, Bytes digest) {
    return std::ranges::equal(digest_of(covered), digest);
}

}  // namespace

RxBuffer::RxBuffer(std::size_t data_bytes_max)
    : bytes_(kHeaderBytes + kAhsBytesMax + padded(data_bytes_max) + 2 * kDigestBytes +
             kReadBytesMin) {}

std::span<std::byte> RxBuffer::space() {
    if (head_ == tail_) {
        head_ = 0;
        tail_ = 0;
    }
    if (bytes_.size() - tail_ < kReadBytesMin) {
        std::move(bytes_.begin() + static_cast<std::ptrdiff_t>(head_),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(tail_), bytes_.begin());
        tail_ -= head_;
        head_ = 0;
    }
    const auto room = std::span{bytes_}.subspan(tail_);
    HF_ASSERT(!room.empty());
    return room;
}

void RxBuffer::filled(std::size_t count) {
    HF_ASSERT(count <= bytes_.size() - tail_);
    tail_ += count;
}

std::expected<std::optional<Pdu>, FrameFault> RxBuffer::try_next(DigestUse digests,
                                                                 std::size_t data_max) {
    const Bytes have = Bytes{bytes_}.subspan(head_, tail_ - head_);
    if (have.size() < kHeaderBytes) return std::nullopt;
    const HeaderView header = have.first<kHeaderBytes>();
    const std::size_t head_segment = kHeaderBytes + std::size_t{u8_at<at::kAhsWords>(header)} * 4;
    const std::size_t after_head = head_segment + (digests.header ? kDigestBytes : 0);
    if (have.size() < after_head) return std::nullopt;
    if (digests.header && !header_checked_ &&
        !digest_matches(have.first(head_segment), have.subspan(head_segment, kDigestBytes)))
        return std::unexpected{FrameFault::HeaderDigest};
    header_checked_ = true;
    const std::size_t data_bytes = be24_at<at::kDataLength>(header);
    if (data_bytes > data_max) return std::unexpected{FrameFault::DataTooLong};
    if (head_segment != kHeaderBytes &&
        opcode_of(header) != static_cast<std::uint8_t>(Opcode::ScsiCommand))
        return std::unexpected{FrameFault::UnexpectedAhs};
    const bool has_digest = digests.data && data_bytes != 0;
    const std::size_t whole = after_head + padded(data_bytes) + (has_digest ? kDigestBytes : 0);
    if (have.size() < whole) return std::nullopt;
    head_ += whole;
    header_checked_ = false;
    Pdu pdu{.header = header, .data = have.subspan(after_head, data_bytes)};
    if (has_digest) {
        const Bytes covered = have.subspan(after_head, padded(data_bytes));
        pdu.data_intact =
            digest_matches(covered, have.subspan(after_head + covered.size(), kDigestBytes));
    }
    return pdu;
}

}  // namespace holdfast::target
