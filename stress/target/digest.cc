#include "stress/target/digest.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

namespace holdfast::target {

void DigestSum::add(Bytes bytes) noexcept {
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min<std::size_t>(bytes.size(), INT_MAX));
        // ISA-L takes a non-const pointer but only reads.
        auto* data =
            static_cast<unsigned char*>(const_cast<void*>(static_cast<const void*>(part.data())));
        crc_ = crc32_iscsi(data, static_cast<int>(part.size()), crc_);
        bytes = bytes.subspan(part.size());
    }
}

Digest DigestSum::wire() const noexcept {
    const std::uint32_t value = ~crc_;
    return {static_cast<std::byte>(value & 0xffU), static_cast<std::byte>((value >> 8) & 0xffU),
            static_cast<std::byte>((value >> 16) & 0xffU),
            static_cast<std::byte>((value >> 24) & 0xffU)};
}

Digest digest_of(Bytes bytes) noexcept {
    DigestSum sum;
    sum.add(bytes);
    return sum.wire();
}

}  // namespace holdfast::target
