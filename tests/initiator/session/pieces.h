/// A read that comes in pieces of one block each, for tests of recovery.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {

inline constexpr std::uint32_t kPiece = 512;

/// What stands in piece `number`.
inline Bytes piece(std::uint32_t number) {
    return Bytes(kPiece, static_cast<std::uint8_t>(0x30 + number));
}

/// Data-In number `n` of a read in pieces.
inline Pdu data(const Peer& peer, const Pdu& command, std::uint32_t n, std::uint8_t flags = 0x00) {
    return peer.data_in(command, n * kPiece, piece(n), n, flags);
}

inline void expect_pieces(Peer& peer, std::uint16_t tag, std::uint32_t count) {
    for (std::uint32_t n = 0; n < count; ++n) {
        const auto at = peer.buffer(tag).subspan(std::size_t{n} * kPiece, kPiece);
        EXPECT_EQ(std::memcmp(at.data(), piece(n).data(), kPiece), 0) << "piece " << n;
    }
}

}  // namespace holdfast::initiator
