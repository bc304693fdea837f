/// The whole engine against a hostile target: after a login and a probe that go well, the input
/// decides what the target says, when time passes, what is asked and when the transport goes.
///
/// Payload buffers are separate allocations, so a byte beyond one of them is found; an assert or an
/// answer for a tag that is not out is a crash.
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "initiator/engine.h"
#include "tests/fuzz/input.h"
#include "tests/sim/wire.h"

namespace holdfast::fuzz {
namespace {

using initiator::ConnIndex;
using initiator::Engine;
using initiator::OrderKind;
using initiator::RequestKind;
using sim::Bytes;
using sim::Pdu;

constexpr ConnIndex kConn{0};
constexpr std::uint16_t kDepth = 4;
constexpr std::uint32_t kRequestBytes = 8192;
constexpr std::uint64_t kLun = 0x0001'0000'0000'0000ULL;

class Target {
public:
    Target(Input& input, sim::TargetParameters parameters);
    void run();

private:
    void turn();
    void take();
    void on_login(const Pdu& request);
    void answer_probe(const Pdu& command);
    void say(Pdu pdu, bool is_counted);
    void deliver(std::span<const std::uint8_t> bytes);
    void act();
    void say_something();
    void submit();
    [[nodiscard]] std::uint32_t some_tag();

    Input& input_;
    sim::TargetParameters parameters_;
    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<Engine> engine_;
    std::array<std::vector<std::byte>, kDepth> buffers_;
    std::array<bool, kDepth> is_out_{};
    std::vector<std::uint32_t> tags_;  // Of commands that we saw, newest last.
    sim::Decoder decoder_;
    sim::Agreed agreed_;
    Instant now_ = Instant::from_ns(1'000'000'000);
    std::uint32_t stat_sn_ = 1;
    std::uint32_t expected_cmd_sn_ = 1;
    bool is_ready_ = false;
    bool is_over_ = false;
};

Target::Target(Input& input, sim::TargetParameters parameters)
    : input_(input), parameters_(parameters) {
    initiator::SessionConfig config;
    config.initiator_name.assign_cut("iqn.2026-01.fuzz:i");
    config.target_name.assign_cut("iqn.2026-01.fuzz:t");
    initiator::Portal portal;
    portal.host.assign_cut("192.0.2.1");
    config.portals.push(portal);
    config.isid = initiator::Isid{0x4000'0000'0001ULL};
    config.lun = initiator::Lun{kLun};
    config.wish.max_recv_data_segment_bytes = 8192;
    const initiator::EngineLimits limits{
        .depth = kDepth, .request_bytes_max = kRequestBytes, .connections = 1, .stage_bytes = 4096};
    reserve::MemoryPlan plan;
    Engine::add_to_plan(plan, limits);
    memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
    region_.emplace(memory_);
    engine_.emplace(config, limits, *region_);
    for (auto& buffer : buffers_) buffer.resize(kRequestBytes);
}

void Target::deliver(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = engine_->rx_spaces(kConn, room);
        if (spaces.empty()) return;
        std::size_t moved = 0;
        for (const auto space : spaces) {
            const std::size_t part = std::min(space.size(), bytes.size());
            if (part > 0) std::memcpy(space.data(), bytes.data(), part);
            bytes = bytes.subspan(part);
            moved += part;
        }
        engine_->rx_filled(kConn, now_, moved);
    }
}

void Target::say(Pdu pdu, bool is_counted) {
    pdu.put(24, 4, stat_sn_).put(28, 4, expected_cmd_sn_).put(32, 4, expected_cmd_sn_ + 16);
    if (is_counted) ++stat_sn_;
    deliver(sim::encode(pdu, decoder_.digests));
}

void Target::on_login(const Pdu& request) {
    const auto answer = sim::answer_login(request, parameters_, agreed_);
    say(answer.response, true);
    if (answer.is_last) decoder_.digests = agreed_.digests;
}

void Target::answer_probe(const Pdu& command) {
    Pdu in;
    in.bhs[0] = sim::kDataIn;
    in.put(16, 4, command.itt()).put(20, 4, 0xffffffff);
    Bytes data(command.u32(20));
    if (command.cdb(0) == 0xa0 && data.size() >= 16) {
        data[3] = 8;
        data[9] = 1;
    } else if (command.cdb(0) == 0x9e && data.size() >= 32) {
        data[6] = 4;
        data[10] = 2;
    }
    in.bhs[1] = 0x81;
    in.data = data;
    if (!data.empty()) return say(in, true);
    Pdu response;
    response.bhs[0] = sim::kResponse;
    response.bhs[1] = 0x80;
    response.put(16, 4, command.itt());
    say(response, true);
}

void Target::take() {
    for (;;) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(kConn, now_, room);
        if (spans.empty()) break;
        Bytes taken;
        for (const auto span : spans) {
            const auto at = taken.size();
            taken.resize(at + span.size());
            std::memcpy(taken.data() + at, span.data(), span.size());
        }
        decoder_.add(taken);
        engine_->tx_sent(kConn, now_, taken.size());
        engine_->tx_released(kConn, taken.size());
    }
    while (const auto pdu = decoder_.next()) {
        const bool is_numbered = !pdu->is_immediate() && pdu->opcode() != sim::kDataOut;
        if (is_numbered) expected_cmd_sn_ = pdu->cmd_sn() + 1;
        if (pdu->opcode() == sim::kLogin) {
            expected_cmd_sn_ = pdu->cmd_sn();
            on_login(*pdu);
        } else if (pdu->opcode() == sim::kCommand && !is_ready_) {
            answer_probe(*pdu);
        } else {
            tags_.push_back(pdu->itt());
        }
    }
    if (decoder_.is_broken()) std::abort();  // Our own wire form must always be right.
}

void Target::turn() {
    engine_->wake(now_, Duration{});
    while (const auto order = engine_->poll_order()) {
        if (order->kind == OrderKind::Connect) {
            decoder_ = {};
            agreed_ = {};
            tags_.clear();
            engine_->transport_up(kConn, now_, initiator::FreshRandom{});
        }
        const bool is_leaving = order->kind == OrderKind::Reset || order->kind == OrderKind::Close;
        if (is_leaving) engine_->transport_lost(kConn, now_);
        if (order->kind == OrderKind::DeviceReady) is_ready_ = true;
        if (order->kind == OrderKind::Stopped) is_over_ = true;
        if (order->kind == OrderKind::GaveUp) is_over_ = true;
    }
    while (engine_->poll_notice()) {
    }
    while (const auto completion = engine_->poll_completion()) {
        if (completion->tag >= kDepth || !is_out_.at(completion->tag)) std::abort();
        is_out_.at(completion->tag) = false;
    }
    take();
}

std::uint32_t Target::some_tag() {
    const std::uint8_t choice = input_.byte();
    if (choice < 200 && !tags_.empty()) return tags_.at(tags_.size() - 1 - choice % tags_.size());
    if (choice < 220) return 0xffffffff;
    return std::uint32_t{input_.word()} << 16 | input_.word();
}

/// A PDU with true numbers, except where the input changes a byte of its header.
void Target::say_something() {
    constexpr std::array<std::uint8_t, 12> kOpcodes{0x20, 0x21, 0x22, 0x23, 0x24, 0x25,
                                                    0x26, 0x31, 0x32, 0x3f, 0x25, 0x31};
    Pdu pdu;
    pdu.bhs[0] = kOpcodes.at(input_.byte() % kOpcodes.size());
    pdu.bhs[1] = input_.byte();
    pdu.bhs[2] = input_.byte() & 0x83;
    pdu.bhs[3] = input_.byte() & 0x7f;
    pdu.put(8, 8, kLun).put(16, 4, some_tag()).put(20, 4, input_.byte() < 128 ? 0xffffffff : 5);
    pdu.put(36, 4, input_.byte() % 4);
    pdu.put(40, 4, std::uint32_t{input_.byte()} * 64).put(44, 4, std::uint32_t{input_.byte()} * 64);
    const std::size_t bytes = input_.byte() % 4 == 0 ? 0 : input_.byte() * 8U;
    for (const std::byte b : input_.bytes(bytes)) {
        pdu.data.push_back(std::to_integer<std::uint8_t>(b));
    }
    if (input_.byte() % 4 == 0) pdu.bhs.at(input_.byte() % 48) = input_.byte();
    const bool is_counted = pdu.opcode() != sim::kR2t && input_.byte() % 8 != 0;
    say(pdu, is_counted);
}

void Target::submit() {
    const auto tag = static_cast<std::uint16_t>(input_.byte() % kDepth);
    const auto kind = static_cast<RequestKind>(input_.byte() % 5);
    const std::uint64_t blocks = 1 + input_.byte() % 16;
    const bool has_data = kind == RequestKind::Read || kind == RequestKind::Write;
    const std::span<std::byte> buffer{buffers_.at(tag)};
    const auto said =
        engine_->submit(now_, {.tag = tag,
                               .kind = kind,
                               .force_unit_access = input_.byte() % 2 == 0,
                               .lba = Lba{input_.byte()},
                               .blocks = BlockCount{kind == RequestKind::Flush ? 0 : blocks},
                               .data = buffer.first(has_data ? blocks * 512 : 0)});
    if (said == initiator::Submitted::Accepted) is_out_.at(tag) = true;
}

void Target::act() {
    switch (input_.byte() % 16) {
    case 0:
    case 1:
    case 2: return submit();
    case 3: now_ = now_ + Duration::from_ms(input_.word()); return;
    case 4:
        if (!engine_->next_wake().is_never()) now_ = std::max(now_, engine_->next_wake());
        return;
    case 5: {
        Bytes raw;
        for (const std::byte b : input_.bytes(input_.byte())) {
            raw.push_back(std::to_integer<std::uint8_t>(b));
        }
        return deliver(raw);
    }
    case 6:
        if (input_.byte() % 8 == 0) engine_->transport_lost(kConn, now_);
        return;
    case 7:
        if (input_.byte() % 16 == 0) engine_->stop(now_);
        return;
    default: return say_something();
    }
}

void Target::run() {
    engine_->start(now_);
    for (int i = 0; i < 40 && !is_ready_ && !is_over_; ++i) turn();
    for (int i = 0; i < 400 && !input_.empty() && !is_over_; ++i) {
        act();
        turn();
    }
    // Whatever happened, the end can be had: every request that is out comes home.
    engine_->stop(now_);
    engine_->stop(now_);
    for (int i = 0; i < 40 && !is_over_; ++i) turn();
    if (!is_over_) std::abort();
    for (const bool is_out : is_out_) {
        if (is_out) std::abort();
    }
}

}  // namespace
}  // namespace holdfast::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    fuzz::Input input{data, size};
    const std::uint8_t mode = input.byte();
    const sim::TargetParameters parameters{.header_digest = (mode & 1) != 0,
                                           .data_digest = (mode & 2) != 0,
                                           .max_recv_bytes = 1024,
                                           .max_burst_bytes = 4096,
                                           .first_burst_bytes = 1024,
                                           .initial_r2t = (mode & 4) != 0,
                                           .immediate_data = (mode & 8) != 0,
                                           .max_r2t = 4};
    fuzz::Target{input, parameters}.run();
    return 0;
}
