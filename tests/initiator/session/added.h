/// More connections of a Peer's session, each played by the test itself.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {

inline constexpr std::uint16_t kSessionHandle = 0x77;  // As answer_login() gives it.

/// A connection of a Peer's session besides the one that Peer plays itself, or a later transport of
/// that one.
class Added {
public:
    Added(Peer& peer, std::uint8_t index) : peer_(peer), conn_(index) {}

    void bring_up() {
        decoder_ = {};
        agreed_ = {};
        peer_.engine().transport_up(conn_, peer_.now(), FreshRandom{});
    }
    void lose() { peer_.engine().transport_lost(conn_, peer_.now()); }
    /// Whole login; `tsih` as the final answer has it.
    void log_in(std::uint16_t tsih = kSessionHandle) {
        bring_up();
        for (;;) {
            const Pdu request = expect(sim::kLogin);
            if (testing::Test::HasFailure()) return;
            requests.push_back(request);
            auto answer = sim::answer_login(request, peer_.options.target, agreed_);
            answer.response.put(14, 2, tsih);
            send(answer.response);
            if (answer.is_last) break;
        }
        decoder_.digests = agreed_.digests;
    }
    void refuse(std::uint16_t status) {
        bring_up();
        const Pdu request = expect(sim::kLogin);
        Pdu answer;
        answer.bhs[0] = sim::kLoginResponse;
        answer.put(8, 6, request.get(8, 6)).put(16, 4, request.itt()).put(36, 2, status);
        send(answer);
    }
    Pdu expect(std::uint8_t opcode) {
        pump();
        const auto pdu = decoder_.next();
        EXPECT_TRUE(pdu.has_value()) << "no PDU, expected " << int{opcode};
        if (!pdu) return {};
        EXPECT_EQ(pdu->opcode(), opcode);
        const bool is_numbered = !pdu->is_immediate() && opcode != sim::kDataOut;
        if (is_numbered) ++peer_.expected_cmd_sn;
        return *pdu;
    }
    [[nodiscard]] bool is_quiet() {
        pump();
        return decoder_.is_empty();
    }
    void send(Pdu pdu) {
        const bool is_idle = pdu.opcode() == sim::kNopIn && pdu.itt() == 0xffffffffU;
        const bool is_bare_data = pdu.opcode() == sim::kDataIn && (pdu.bhs[1] & 1) == 0;
        if (!is_bare_data) pdu.put(24, 4, stat_sn);
        pdu.put(28, 4, peer_.expected_cmd_sn);
        pdu.put(32, 4, peer_.expected_cmd_sn + peer_.window - 1);
        if (pdu.opcode() != sim::kR2t && !is_idle && !is_bare_data) ++stat_sn;
        Bytes bytes = sim::encode(pdu, decoder_.digests);
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = peer_.engine().rx_spaces(conn_, room);
        std::size_t moved = 0;
        for (const auto space : spaces) {
            const std::size_t part = std::min(space.size(), bytes.size() - moved);
            std::memcpy(space.data(), std::span{bytes}.subspan(moved).data(), part);
            moved += part;
        }
        if (moved > 0) peer_.engine().rx_filled(conn_, peer_.now(), moved);
    }

    std::uint32_t stat_sn = 500;
    std::vector<Pdu> requests;

private:
    void pump() {
        for (;;) {
            std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
            const auto spans = peer_.engine().tx_spans(conn_, peer_.now(), room);
            if (spans.empty()) return;
            Bytes taken;
            for (const auto span : spans) {
                for (const std::byte byte : span) {
                    taken.push_back(std::to_integer<std::uint8_t>(byte));
                }
            }
            decoder_.add(taken);
            peer_.engine().tx_sent(conn_, peer_.now(), taken.size());
            peer_.engine().tx_released(conn_, taken.size());
        }
    }

    Peer& peer_;
    ConnIndex conn_;
    sim::Decoder decoder_;
    sim::Agreed agreed_;
};

/// Takes the orders so far; how many of a kind there are for each connection.
inline std::vector<std::uint8_t> connections_ordered(Peer& peer, OrderKind kind) {
    while (peer.next_order()) {
    }
    std::vector<std::uint8_t> found;
    for (const Order& order : std::exchange(peer.orders_seen, {})) {
        if (order.kind == kind) found.push_back(order.conn.raw());
    }
    return found;
}

using Indices = std::vector<std::uint8_t>;

}  // namespace holdfast::initiator
