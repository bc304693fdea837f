#include "initiator/pdu/digest.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/crc32c_method.h"

namespace holdfast::initiator {

namespace {

constexpr std::array<std::byte, 3> kZeroes{};

}  // namespace

void Crc32c::update(std::span<const std::byte> piece) noexcept {
    register_ = crc32c_update(register_, piece);
}

void Crc32c::update_padding(std::uint32_t segment_bytes) noexcept {
    const std::uint32_t padding = padding_bytes(segment_bytes);
    HF_ASSERT(padding <= kZeroes.size());
    update(std::span{kZeroes}.first(padding));
}

DigestBytes Crc32c::wire() const noexcept {
    const std::uint32_t crc = value();
    return {static_cast<std::byte>(crc), static_cast<std::byte>(crc >> 8),
            static_cast<std::byte>(crc >> 16), static_cast<std::byte>(crc >> 24)};
}

DigestBytes header_digest(Bhs bhs) noexcept {
    HF_ASSERT(ahs_bytes(bhs) == 0);
    Crc32c crc;
    crc.update(bhs);
    return crc.wire();
}

DigestBytes data_digest(std::span<const std::span<const std::byte>> pieces) noexcept {
    Crc32c crc;
    std::size_t total = 0;
    for (const auto piece : pieces) {
        crc.update(piece);
        total += piece.size();
    }
    HF_ASSERT(total != 0 && total <= kDataSegmentBytesMax);
    crc.update_padding(static_cast<std::uint32_t>(total));
    return crc.wire();
}

bool digest_matches(const Crc32c& crc, std::span<const std::byte, kDigestBytes> received) noexcept {
    return std::ranges::equal(crc.wire(), received);
}

}  // namespace holdfast::initiator
