#include "tests/initiator/session/peer.h"

#include <algorithm>
#include <cstring>

namespace holdfast::initiator {

namespace {

constexpr ConnIndex kConn{0};
constexpr std::uint32_t kNone = 0xffffffffU;

void put_text(Bytes& to, std::size_t at, std::string_view text, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
        to.at(at + i) = i < text.size() ? static_cast<std::uint8_t>(text[i]) : ' ';
    }
}

void put_number(Bytes& to, std::size_t at, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes; i > 0; --i) {
        to.at(at + i - 1) = static_cast<std::uint8_t>(value);
        value >>= 8;
    }
}

/// Data-in of a probe command; empty: not known to the unit.
std::optional<Bytes> probe_answer(const Pdu& command, const PlayedUnit& unit) {
    const std::uint8_t operation = command.cdb(0);
    const bool is_page = operation == 0x12 && (command.cdb(1) & 1) != 0;
    Bytes data;
    if (operation == 0xa0) {
        data.resize(16);
        put_number(data, 0, 4, 8);
        put_number(data, 8, 8, unit.has_lun ? kTestLun : 0);
    } else if (is_page && command.cdb(2) == 0x00) {
        data = {0, 0, 0, 2, 0x00, 0x80};
    } else if (is_page && command.cdb(2) == 0x80) {
        data.resize(4 + unit.serial.size());
        data[1] = 0x80;
        data[3] = static_cast<std::uint8_t>(unit.serial.size());
        put_text(data, 4, unit.serial, unit.serial.size());
    } else if (operation == 0x12 && !is_page) {
        data.resize(36);
        data[2] = 6;
        data[4] = 31;
        put_text(data, 8, "HOLDFAST", 8);
        put_text(data, 16, "PLAYED", 16);
        put_text(data, 32, "1", 4);
    } else if (operation == 0x00) {
    } else if (operation == 0x9e) {
        data.resize(32);
        put_number(data, 0, 8, unit.blocks - 1);
        put_number(data, 8, 4, unit.block_bytes);
    } else if (operation == 0x1a) {
        data.resize(24);
        data[0] = 23;
        data[2] = unit.force_unit_access ? 0x10 : 0;
        data[4] = 0x08;
        data[5] = 18;
        data[6] = unit.write_cache ? 0x04 : 0;
    } else {
        return {};
    }
    return data;
}

}  // namespace

SessionConfig Peer::usual_config() {
    SessionConfig config;
    config.initiator_name.assign_cut("iqn.2026-01.test:initiator");
    config.target_name.assign_cut("iqn.2026-01.test:target");
    Portal portal;
    portal.host.assign_cut("192.0.2.1");
    config.portals.push(portal);
    config.isid = Isid{0x4000'0000'0001ULL};
    config.lun = Lun{kTestLun};
    config.wish.header_digest = DigestWish::Prefer;
    return config;
}

Peer::Peer(Options chosen) : options(std::move(chosen)) {
    reserve::MemoryPlan plan;
    Engine::add_to_plan(plan, options.limits);
    memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
    region_.emplace(memory_);
    engine_.emplace(options.config, options.limits, *region_);
    EXPECT_EQ(region_->used(), plan.total());
    buffers_.resize(options.limits.depth);
    for (std::size_t tag = 0; tag < buffers_.size(); ++tag) {
        buffers_[tag].resize(options.limits.request_bytes_max);
        for (std::size_t i = 0; i < buffers_[tag].size(); ++i) {
            buffers_[tag][i] = static_cast<std::byte>(tag * 31 + i * 7 + i / 512);
        }
    }
    stat_sn = options.first_stat_sn;
}

Peer::~Peer() = default;

std::span<std::byte> Peer::buffer(std::uint16_t tag) {
    return buffers_.at(tag);
}

void Peer::take_orders() {
    while (const auto order = engine_->poll_order()) {
        if (order->kind == OrderKind::Connect) last_portal = order->portal;
        orders_.push_back(order->kind);
        orders_seen.push_back(*order);
    }
    while (const auto notice = engine_->poll_notice()) notices_.push_back(*notice);
}

std::optional<OrderKind> Peer::next_order() {
    take_orders();
    if (orders_.empty()) return {};
    const OrderKind kind = orders_.front();
    orders_.erase(orders_.begin());
    return kind;
}

void Peer::expect_order(OrderKind kind) {
    const auto got = next_order();
    ASSERT_TRUE(got.has_value()) << "no order, phase " << static_cast<int>(engine_->phase());
    EXPECT_EQ(*got, kind);
}

const std::vector<Notice>& Peer::notices() {
    take_orders();
    return notices_;
}

bool Peer::was_noticed(NoticeKind kind, std::optional<std::uint64_t> a) {
    return std::ranges::any_of(notices(), [&](const Notice& notice) {
        return notice.kind == kind && (!a || notice.a == *a);
    });
}

void Peer::expect_violation(Violation violation) {
    EXPECT_TRUE(was_noticed(NoticeKind::PeerViolation, static_cast<std::uint64_t>(violation)))
        << "violation " << static_cast<int>(violation) << " was not noticed";
    expect_order(OrderKind::Reset);
}

void Peer::attach() {
    engine_->start(now_);
    expect_order(OrderKind::Connect);
    log_in();
    answer_probe();
    expect_order(OrderKind::DeviceReady);
    EXPECT_EQ(engine_->phase(), SessionPhase::Ready);
}

void Peer::log_in() {
    decoder_ = {};
    agreed_ = {};
    FreshRandom random{};
    engine_->transport_up(kConn, now_, random);
    for (;;) {
        const Pdu request = expect(sim::kLogin);
        if (testing::Test::HasFatalFailure()) return;
        login_requests.push_back(request);
        auto answer = sim::answer_login(request, options.target, agreed_);
        expected_cmd_sn = request.cmd_sn();
        send(answer.response);
        if (answer.is_last) break;
    }
    decoder_.digests = agreed_.digests;
}

void Peer::refuse_login(std::uint16_t status, std::string_view address) {
    decoder_ = {};
    engine_->transport_up(kConn, now_, FreshRandom{});
    const Pdu request = expect(sim::kLogin);
    Pdu answer;
    answer.bhs[0] = sim::kLoginResponse;
    answer.put(8, 6, request.get(8, 6)).put(16, 4, request.itt()).put(36, 2, status);
    if (!address.empty()) answer.data = sim::make_text({{"TargetAddress", std::string{address}}});
    send(answer);
}

void Peer::answer_probe_command(const Pdu& command) {
    const auto data = probe_answer(command, options.unit);
    if (!data) return send(sense_to(command, 0x05, 0x2000));
    const std::uint32_t expected = command.u32(20);
    if (expected == 0) return send(response_to(command));
    Bytes cut = *data;
    cut.resize(std::min<std::size_t>(cut.size(), expected));
    const auto rest = static_cast<std::uint32_t>(expected - cut.size());
    Pdu last = data_in(command, 0, cut, 0, rest > 0 ? 0x83 : 0x81);
    last.put(44, 4, rest);
    send(last);
}

void Peer::answer_probe() {
    while (engine_->phase() == SessionPhase::Probing) {
        const Pdu command = expect(sim::kCommand);
        if (testing::Test::HasFatalFailure()) return;
        answer_probe_command(command);
    }
}

void Peer::expect_reset() {
    expect_order(OrderKind::Reset);
    lose_transport();
}

void Peer::come_back() {
    live(Duration::from_s(6));
    expect_order(OrderKind::Connect);
    log_in();
    answer_probe();
}

void Peer::lose_transport() {
    engine_->transport_lost(kConn, now_);
}

Submitted Peer::submit(std::uint16_t tag, RequestKind kind, std::uint64_t lba, std::uint64_t blocks,
                       bool fua) {
    const bool has_data = kind == RequestKind::Read || kind == RequestKind::Write;
    const std::size_t bytes = has_data ? blocks * kTestBlockBytes : 0;
    return engine_->submit(now_, {.tag = tag,
                                  .kind = kind,
                                  .force_unit_access = fua,
                                  .lba = Lba{lba},
                                  .blocks = BlockCount{blocks},
                                  .data = buffer(tag).first(bytes)});
}

void Peer::pump() {
    for (;;) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(kConn, now_, room);
        if (spans.empty()) return;
        Bytes taken;
        for (const auto span : spans) {
            for (const std::byte byte : span) {
                if (taken.size() < send_chunk) taken.push_back(std::to_integer<std::uint8_t>(byte));
            }
        }
        decoder_.add(taken);
        engine_->tx_sent(kConn, now_, taken.size());
        engine_->tx_released(kConn, taken.size());
    }
}

Pdu Peer::expect(std::uint8_t opcode) {
    auto pdu = decoder_.next();
    if (!pdu) {
        pump();
        pdu = decoder_.next();
    }
    EXPECT_FALSE(decoder_.is_broken()) << "wrong digest or AHS from the engine";
    if (!pdu) {
        ADD_FAILURE() << "no PDU, expected opcode " << static_cast<int>(opcode);
        return {};
    }
    EXPECT_EQ(pdu->opcode(), opcode);
    const bool is_numbered = !pdu->is_immediate() && opcode != sim::kDataOut;
    if (is_numbered && pdu->cmd_sn() == expected_cmd_sn) ++expected_cmd_sn;
    return *pdu;
}

bool Peer::is_quiet() {
    pump();
    return decoder_.is_empty();
}

void Peer::send(Pdu pdu, bool is_counted) {
    const std::uint8_t opcode = pdu.opcode();
    const bool is_unnumbered_data = opcode == sim::kDataIn && (pdu.bhs[1] & 1) == 0;
    const bool is_idle_nop = opcode == sim::kNopIn && pdu.itt() == kNone;
    if (opcode == sim::kR2t || is_idle_nop || is_unnumbered_data) is_counted = false;
    if (!is_unnumbered_data) pdu.put(24, 4, stat_sn);
    if (is_counted) ++stat_sn;
    pdu.put(28, 4, expected_cmd_sn);
    pdu.put(32, 4, expected_cmd_sn + window - 1);
    deliver(encode(pdu));
}

void Peer::deliver(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = engine_->rx_spaces(kConn, room);
        if (spaces.empty()) return;
        std::size_t moved = 0;
        for (const auto space : spaces) {
            const std::size_t part = std::min({space.size(), bytes.size(), chunk - moved});
            std::memcpy(space.data(), bytes.data(), part);
            bytes = bytes.subspan(part);
            moved += part;
        }
        engine_->rx_filled(kConn, now_, moved);
    }
}

Pdu Peer::response_to(const Pdu& command, std::uint8_t status) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kResponse;
    pdu.bhs[1] = 0x80;
    pdu.bhs[3] = status;
    pdu.put(16, 4, command.itt());
    return pdu;
}

Pdu Peer::sense_to(const Pdu& command, std::uint8_t key, std::uint16_t code) const {
    Pdu pdu = response_to(command, 0x02);
    pdu.data.resize(20);
    pdu.data[1] = 18;
    pdu.data[2] = 0x70;
    pdu.data[4] = key;
    pdu.data[9] = 10;
    pdu.data[14] = static_cast<std::uint8_t>(code >> 8);
    pdu.data[15] = static_cast<std::uint8_t>(code);
    return pdu;
}

Pdu Peer::data_in(const Pdu& command, std::uint32_t offset, Bytes data, std::uint32_t data_sn,
                  std::uint8_t flags) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kDataIn;
    pdu.bhs[1] = flags;
    pdu.put(16, 4, command.itt()).put(20, 4, kNone).put(36, 4, data_sn).put(40, 4, offset);
    pdu.data = std::move(data);
    return pdu;
}

Pdu Peer::r2t(const Pdu& command, std::uint32_t offset, std::uint32_t bytes, std::uint32_t r2t_sn,
              std::uint32_t ttt) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kR2t;
    pdu.bhs[1] = 0x80;
    pdu.put(8, 8, command.get(8, 8)).put(16, 4, command.itt()).put(20, 4, ttt);
    pdu.put(36, 4, r2t_sn).put(40, 4, offset).put(44, 4, bytes);
    return pdu;
}

Pdu Peer::async(std::uint8_t event, std::uint16_t p1, std::uint16_t p2, std::uint16_t p3) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kAsync;
    pdu.bhs[1] = 0x80;
    pdu.put(16, 4, kNone).put(36, 1, event).put(38, 2, p1).put(40, 2, p2).put(42, 2, p3);
    return pdu;
}

Pdu Peer::reject(std::uint8_t reason, const Pdu& what) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kReject;
    pdu.bhs[1] = 0x80;
    pdu.bhs[2] = reason;
    pdu.put(16, 4, kNone);
    pdu.data.assign(what.bhs.begin(), what.bhs.end());
    return pdu;
}

Pdu Peer::nop_in(std::uint32_t itt, std::uint32_t ttt) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kNopIn;
    pdu.bhs[1] = 0x80;
    pdu.put(16, 4, itt).put(20, 4, ttt);
    return pdu;
}

Pdu Peer::task_response(const Pdu& request, std::uint8_t response) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kTaskResponse;
    pdu.bhs[1] = 0x80;
    pdu.bhs[2] = response;
    pdu.put(16, 4, request.itt());
    return pdu;
}

Pdu Peer::logout_response(const Pdu& request, std::uint8_t result, std::uint16_t time2wait) const {
    Pdu pdu;
    pdu.bhs[0] = sim::kLogoutResponse;
    pdu.bhs[1] = 0x80;
    pdu.bhs[2] = result;
    pdu.put(16, 4, request.itt()).put(40, 2, time2wait);
    return pdu;
}

void Peer::advance(Duration by, Duration late) {
    now_ = now_ + by;
    engine_->wake(now_, late);
}

void Peer::live(Duration by) {
    const Instant end = now_ + by;
    while (engine_->next_wake() <= end) {
        now_ = std::max(now_, engine_->next_wake());
        engine_->wake(now_, Duration{});
        pump();
        take_orders();
        if (std::ranges::find(orders_, OrderKind::Connect) != orders_.end()) return;
    }
    now_ = end;
    engine_->wake(now_, Duration{});
}

std::optional<Completion> Peer::next_completion() {
    return engine_->poll_completion();
}

void Peer::expect_completion(std::uint16_t tag, Outcome outcome) {
    const auto got = next_completion();
    ASSERT_TRUE(got.has_value()) << "no completion";
    EXPECT_EQ(got->tag, tag);
    EXPECT_EQ(got->outcome, outcome);
}

void Peer::expect_no_completion() {
    EXPECT_FALSE(next_completion().has_value());
}

void pass(Peer& peer, Duration by) {
    const Instant end = peer.now() + by;
    while (peer.now() < end) {
        peer.live(std::min(Duration::from_s(1), end - peer.now()));
        peer.send(peer.nop_in(kNone, kNone));
    }
}

Pdu expect_management(Peer& peer, std::uint8_t function) {
    const Pdu request = peer.expect(sim::kTaskRequest);
    EXPECT_EQ(request.bhs[1], 0x80 | function);
    EXPECT_TRUE(request.is_immediate());
    EXPECT_TRUE(request.data.empty());
    return request;
}

}  // namespace holdfast::initiator
