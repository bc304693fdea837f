#include "stress/target/rx_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "stress/target/digest.h"
#include "stress/target/tx_queue.h"

namespace holdfast::target {
namespace {

Digest wire(std::initializer_list<int> octets) {
    Digest digest{};
    std::ranges::transform(octets, digest.begin(), [](int o) { return static_cast<std::byte>(o); });
    return digest;
}

void feed(RxBuffer& rx, Bytes bytes) {
    const auto room = rx.space();
    std::ranges::copy(bytes, room.begin());
    rx.filled(bytes.size());
}

/// A NOP-Out with five bytes of data and both digests.
std::vector<std::byte> stream_of_one() {
    Header header = start_header(Opcode::NopOut);
    put_be24<at::kDataLength>(std::span{header}, 5);
    std::vector<std::byte> bytes{header.begin(), header.end()};
    const auto head = digest_of(header);
    bytes.insert(bytes.end(), head.begin(), head.end());
    std::vector<std::byte> data(8, std::byte{0});
    std::ranges::fill(std::span{data}.first(5), std::byte{0xa5});
    bytes.insert(bytes.end(), data.begin(), data.end());
    const auto tail = digest_of(data);
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    return bytes;
}

// Goal: the vectors of RFC 7143 appendix A.4, as wire bytes.
TEST(TargetDigest, GivesTheVectorsOfTheRfc) {
    std::array<std::byte, 32> bytes{};
    EXPECT_EQ(digest_of(bytes), wire({0xaa, 0x36, 0x91, 0x8a}));
    bytes.fill(std::byte{0xff});
    EXPECT_EQ(digest_of(bytes), wire({0x43, 0xab, 0xa8, 0x62}));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    EXPECT_EQ(digest_of(bytes), wire({0x4e, 0x79, 0xdd, 0x46}));
    std::ranges::reverse(bytes);
    EXPECT_EQ(digest_of(bytes), wire({0x5c, 0xdb, 0x3f, 0x11}));
}

// Goal: any split of the stream gives the same PDU.
TEST(TargetRxBuffer, EverySplitGivesTheSamePdu) {
    const auto stream = stream_of_one();
    for (std::size_t split = 0; split <= stream.size(); ++split) {
        RxBuffer rx{8192};
        feed(rx, Bytes{stream}.first(split));
        const auto early = rx.try_next({.header = true, .data = true}, 8192);
        ASSERT_TRUE(early.has_value());
        EXPECT_EQ(early->has_value(), split == stream.size());
        if (early->has_value()) continue;
        feed(rx, Bytes{stream}.subspan(split));
        const auto pdu = rx.try_next({.header = true, .data = true}, 8192);
        ASSERT_TRUE(pdu.has_value() && pdu->has_value()) << "split at " << split;
        EXPECT_TRUE((*pdu)->data_intact);
        EXPECT_EQ((*pdu)->data.size(), 5U);
    }
}

// Goal: one flipped bit anywhere is noticed by one of the two digests.
TEST(TargetRxBuffer, EveryFlippedBitIsNoticed) {
    const auto good = stream_of_one();
    for (std::size_t at = 0; at < good.size() * 8; ++at) {
        auto stream = good;
        stream[at / 8] ^= static_cast<std::byte>(1U << (at % 8));
        RxBuffer rx{8192};
        feed(rx, stream);
        const auto pdu = rx.try_next({.header = true, .data = true}, 8192);
        // A longer length in the header would wait for more, so the header digest must come first.
        const bool noticed = !pdu || (pdu->has_value() && !(*pdu)->data_intact) ||
                             (!pdu->has_value() && at / 8 == at::kAhsWords);
        EXPECT_TRUE(noticed) << "bit " << at;
    }
}

// Goal: a length above the limit ends the stream before its data is waited for.
TEST(TargetRxBuffer, TooLongASegmentIsRefusedFromItsHeader) {
    Header header = start_header(Opcode::NopOut);
    put_be24<at::kDataLength>(std::span{header}, 8193);
    RxBuffer rx{8192};
    feed(rx, header);
    EXPECT_EQ(rx.try_next({}, 8192).error(), FrameFault::DataTooLong);
}

// Goal: only a command may carry an AHS.
TEST(TargetRxBuffer, AhsOnAnotherPduIsRefused) {
    Header header = start_header(Opcode::NopOut);
    put_u8<at::kAhsWords>(std::span{header}, 1);
    RxBuffer rx{8192};
    feed(rx, header);
    feed(rx, std::array<std::byte, 4>{});
    EXPECT_EQ(rx.try_next({}, 8192).error(), FrameFault::UnexpectedAhs);
}

// Goal: bytes leave in the order in which they came, over chunk borders and borrowed pieces.
TEST(TargetTxQueue, KeepsTheOrderOfBytes) {
    TxQueue tx;
    std::vector<std::byte> expected;
    std::vector<std::byte> disk(40'000);
    for (std::size_t i = 0; i < disk.size(); ++i) disk[i] = static_cast<std::byte>(i * 7);
    for (std::size_t round = 0; round < 20; ++round) {
        const auto piece = Bytes{disk}.subspan(round * 100, 30'000);
        if (round % 3 == 0) {
            tx.append_borrowed(piece);
        } else {
            tx.append(piece);
        }
        expected.insert(expected.end(), piece.begin(), piece.end());
    }
    std::vector<std::byte> got;
    while (tx.pending_bytes() != 0) {
        std::array<Bytes, 3> out;
        const auto used = tx.gather(out);
        ASSERT_GT(used, 0U);
        const auto part = out[0].first(std::min<std::size_t>(out[0].size(), 12'345));
        got.insert(got.end(), part.begin(), part.end());
        tx.sent(part.size());
    }
    EXPECT_EQ(got, expected);
}

// Goal: a cut keeps the front and forgets the rest.
TEST(TargetTxQueue, CutKeepsTheFront) {
    TxQueue tx;
    const std::vector<std::byte> bytes(600'000, std::byte{1});
    tx.append(bytes);
    tx.cut_to(10);
    EXPECT_EQ(tx.pending_bytes(), 10U);
    std::array<Bytes, 4> out;
    ASSERT_EQ(tx.gather(out), 1U);
    EXPECT_EQ(out[0].size(), 10U);
    tx.append(Bytes{bytes}.first(5));
    EXPECT_EQ(tx.pending_bytes(), 15U);
}

}  // namespace
}  // namespace holdfast::target
