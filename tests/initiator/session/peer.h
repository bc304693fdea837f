/// A test's hands on an Engine: the transport and the target, both played by the test itself.
///
/// Every call moves bytes at once and never waits; time moves only by advance(). The target's
/// numbers (StatSN, ExpCmdSN, MaxCmdSN) are kept here and put into what send() sends, unless the
/// test sets them itself.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "initiator/engine.h"
#include "initiator/pdu/violation.h"
#include "tests/sim/wire.h"

namespace holdfast::initiator {

using sim::Bytes;
using sim::Pdu;

inline constexpr std::uint64_t kTestLun = 0x0001'0000'0000'0000ULL;
inline constexpr std::uint32_t kTestBlockBytes = 512;

/// What the played unit tells the probe.
struct PlayedUnit {
    std::uint64_t blocks = 1U << 20;
    std::uint32_t block_bytes = kTestBlockBytes;
    bool write_cache = true;
    bool force_unit_access = true;
    bool has_lun = true;
    std::string serial = "S1";
};

class Peer {
public:
    struct Options {
        SessionConfig config = usual_config();
        EngineLimits limits{.depth = 8, .request_bytes_max = 32 * 1024, .stage_bytes = 16384};
        sim::TargetParameters target{};
        PlayedUnit unit{};
        std::uint32_t first_stat_sn = 1;
    };

    explicit Peer(Options options);
    Peer() : Peer(Options{}) {}
    ~Peer();

    [[nodiscard]] static SessionConfig usual_config();

    /// Starts, logs in, answers the probe; ends Ready with DeviceReady taken.
    void attach();
    /// From Connect ordered to full feature phase.
    void log_in();
    /// Brings the transport up and refuses the login; a redirect names an address.
    void refuse_login(std::uint16_t status, std::string_view address = {});
    /// Answers everything until the probe is over.
    void answer_probe();
    /// Answers one probe command.
    void answer_probe_command(const Pdu& command);
    /// After a loss was provoked: takes the Reset, reports it gone, and gets Connect.
    void expect_reset();
    void come_back();

    Submitted submit(std::uint16_t tag, RequestKind kind, std::uint64_t lba, std::uint64_t blocks,
                     bool fua = false);
    [[nodiscard]] std::span<std::byte> buffer(std::uint16_t tag);

    /// The next PDU of the engine; a failure of the test if there is none or another opcode.
    Pdu expect(std::uint8_t opcode);
    [[nodiscard]] bool is_quiet();
    /// Whatever the engine has to say is put into the decoder.
    void pump();

    /// Fills in the numbers, counts StatSN where the PDU has a counted one, and delivers.
    void send(Pdu pdu, bool is_counted = true);
    /// Bytes as they are, in receives of `chunk` bytes at most.
    void deliver(std::span<const std::uint8_t> bytes);
    [[nodiscard]] Bytes encode(const Pdu& pdu) const { return sim::encode(pdu, decoder_.digests); }

    // PDUs for send(), without numbers.
    [[nodiscard]] Pdu response_to(const Pdu& command, std::uint8_t status = 0) const;
    [[nodiscard]] Pdu sense_to(const Pdu& command, std::uint8_t key, std::uint16_t code) const;
    [[nodiscard]] Pdu data_in(const Pdu& command, std::uint32_t offset, Bytes data,
                              std::uint32_t data_sn, std::uint8_t flags = 0x80) const;
    [[nodiscard]] Pdu r2t(const Pdu& command, std::uint32_t offset, std::uint32_t bytes,
                          std::uint32_t r2t_sn, std::uint32_t ttt = 0x700) const;
    [[nodiscard]] Pdu async(std::uint8_t event, std::uint16_t p1 = 0, std::uint16_t p2 = 0,
                            std::uint16_t p3 = 0) const;
    [[nodiscard]] Pdu reject(std::uint8_t reason, const Pdu& what) const;
    [[nodiscard]] Pdu nop_in(std::uint32_t itt, std::uint32_t ttt) const;
    [[nodiscard]] Pdu task_response(const Pdu& request, std::uint8_t response) const;
    [[nodiscard]] Pdu logout_response(const Pdu& request, std::uint8_t result,
                                      std::uint16_t time2wait = 0) const;

    void advance(Duration by, Duration late = Duration{});
    /// Moves time to each next_wake() until `by` has passed.
    void live(Duration by);
    void lose_transport();

    [[nodiscard]] std::optional<OrderKind> next_order();
    void expect_order(OrderKind kind);
    [[nodiscard]] std::optional<Completion> next_completion();
    void expect_completion(std::uint16_t tag, Outcome outcome = Outcome::Done);
    void expect_no_completion();
    /// Notices so far, newest last.
    [[nodiscard]] const std::vector<Notice>& notices();
    [[nodiscard]] bool was_noticed(NoticeKind kind, std::optional<std::uint64_t> a = {});
    void expect_violation(Violation violation);

    [[nodiscard]] Engine& engine() { return *engine_; }
    [[nodiscard]] Instant now() const { return now_; }
    [[nodiscard]] const sim::Agreed& agreed() const { return agreed_; }

    Options options;
    std::uint32_t stat_sn = 0;          ///< The next one we give.
    std::uint32_t expected_cmd_sn = 1;  ///< Follows what we received.
    std::uint32_t window = 64;          ///< MaxCmdSN = expected_cmd_sn + window - 1.
    std::size_t chunk = 65536;          ///< Bytes of one receive.
    std::size_t send_chunk = 1 << 20;   ///< Bytes of one send.
    Portal last_portal{};
    std::vector<Pdu> login_requests;
    std::vector<Order> orders_seen;  ///< Every order, with its connection.

private:
    void take_orders();

    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<Engine> engine_;
    std::vector<std::vector<std::byte>> buffers_;
    Instant now_ = Instant::from_ns(1'000'000'000);
    sim::Decoder decoder_;
    sim::Agreed agreed_;
    std::vector<Notice> notices_;
    std::vector<OrderKind> orders_;
};

/// Lets time pass with a target that is alive, whatever it leaves unanswered.
void pass(Peer& peer, Duration by);

/// The task management request that goes out next, which must be of this function. RFC 7143 section
/// 11.5.
Pdu expect_management(Peer& peer, std::uint8_t function);

}  // namespace holdfast::initiator
