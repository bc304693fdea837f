/// A scripted initiator for tests of the target: it builds PDUs by hand and reads the answers, in
/// virtual time. It checks nothing by itself.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "stress/target/digest.h"
#include "stress/target/rx_buffer.h"
#include "stress/target/target.h"

namespace holdfast::target {

/// One PDU that the target sent, copied.
struct Seen {
    Header header{};
    std::vector<std::byte> data;
    bool data_intact = true;

    [[nodiscard]] HeaderView view() const { return HeaderView{header}; }
    [[nodiscard]] Opcode opcode() const { return static_cast<Opcode>(opcode_of(view())); }
    [[nodiscard]] std::uint8_t flags() const { return flags_of(view()); }
    [[nodiscard]] std::uint8_t response() const { return u8_at<at::kResponse>(view()); }
    [[nodiscard]] std::uint8_t status() const { return u8_at<at::kStatus>(view()); }
    [[nodiscard]] std::uint32_t itt() const { return be32_at<at::kItt>(view()); }
    [[nodiscard]] std::uint32_t ttt() const { return be32_at<at::kTtt>(view()); }
    [[nodiscard]] std::uint32_t stat_sn() const { return be32_at<at::kStatSn>(view()); }
    [[nodiscard]] std::uint32_t residual() const { return be32_at<at::kResidual>(view()); }
    [[nodiscard]] std::uint32_t offset() const { return be32_at<at::kBufferOffset>(view()); }
    [[nodiscard]] std::uint16_t login_status() const {
        return be16_at<at::kLoginStatusClass>(view());
    }
    [[nodiscard]] std::string text() const { return std::string{as_text(data)}; }
    /// KEY/ASC/ASCQ of a response with fixed sense, as three octets.
    [[nodiscard]] std::vector<int> sense() const;
};

/// A target with virtual time, and the connections that a test opens.
class World {
public:
    explicit World(TargetConfig config = {});

    void pass(Duration time);
    void fault(std::string_view text);
    [[nodiscard]] const Counters& counters() const { return target.counters(); }

    Instant now = Instant::from_ns(1'000'000'000);
    Target target;
};

[[nodiscard]] TargetConfig small_config();

class PlayedInitiator {
public:
    explicit PlayedInitiator(World& world);

    /// Appends key=value pairs; each ends in NUL. Written with '\n' between pairs.
    [[nodiscard]] static std::string text_of(std::string_view lines);

    Seen login_step(std::string_view lines, std::uint8_t flags);
    /// Goes straight to the operational stage and into full feature phase.
    Seen login(std::string_view more_keys = {}, std::string_view target = {});
    void logout(std::uint8_t reason = 0);

    /// Sends a SCSI command; data_out rides along as immediate data. Returns the ITT.
    std::uint32_t command(const Cdb& cdb, std::uint8_t flags, std::uint32_t edtl,
                          Bytes immediate = {});
    std::uint32_t read(std::uint32_t lba, std::uint16_t blocks);
    std::uint32_t write(std::uint32_t lba, Bytes data, bool fua = false);
    void data_out(std::uint32_t itt, std::uint32_t ttt, std::uint32_t offset, Bytes data,
                  bool final, std::uint32_t data_sn = 0);
    void send(Header header, Bytes data);
    void send_raw(Bytes bytes);

    /// The next PDU of the target that has not been looked at. A default Seen when there is none.
    Seen next();
    [[nodiscard]] bool has_next();
    /// Sends TEST UNIT READY until the unit attentions are gone.
    void settle();
    /// Runs a read and returns its data; empty when it did not end well.
    [[nodiscard]] std::vector<std::byte> read_back(std::uint32_t lba, std::uint16_t blocks);
    [[nodiscard]] LinkWish wish() const { return world_.target.wish(link); }
    /// Tells the target that the connection is gone.
    void hang_up();
    /// All bytes that wait to be sent, taken.
    std::vector<std::byte> take_raw();

    LinkId link;
    DigestUse digests;
    std::uint32_t cmd_sn = 1;
    std::uint32_t next_itt = 100;
    std::uint64_t isid = 0x8000'0000'0001ULL;
    std::uint16_t tsih = 0;
    std::uint16_t cid = 0;
    std::string name = "iqn.2026-01.net.example:initiator";

private:
    void collect();

    World& world_;
    RxBuffer rx_;
    std::deque<Seen> seen_;
};

[[nodiscard]] Cdb cdb_10(std::uint8_t opcode, std::uint32_t lba, std::uint16_t blocks,
                         std::uint8_t bits = 0);
[[nodiscard]] std::vector<std::byte> pattern(std::size_t bytes, std::uint8_t seed);

}  // namespace holdfast::target
