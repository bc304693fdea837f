/// The target's side of iSCSI for tests: an encoder and decoder that share nothing with the
/// product's, so that a mistake there cannot hide itself here. RFC 7143 section 11. Allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::sim {

using Bytes = std::vector<std::uint8_t>;

/// CRC32C, bit by bit over a table; as the four bytes stand on the wire.
[[nodiscard]] std::array<std::uint8_t, 4> crc32c(std::span<const std::uint8_t> bytes);

/// Opcodes as numbers: first what an initiator sends, then what a target sends.
enum Op : std::uint8_t {
    kNopOut = 0x00,
    kCommand = 0x01,
    kTaskRequest = 0x02,
    kLogin = 0x03,
    kText = 0x04,
    kDataOut = 0x05,
    kLogout = 0x06,
    kSnack = 0x10,
    kNopIn = 0x20,
    kResponse = 0x21,
    kTaskResponse = 0x22,
    kLoginResponse = 0x23,
    kTextResponse = 0x24,
    kDataIn = 0x25,
    kLogoutResponse = 0x26,
    kR2t = 0x31,
    kAsync = 0x32,
    kReject = 0x3f,
};

/// One PDU: 48 bytes of header and the data segment without padding.
struct Pdu {
    std::array<std::uint8_t, 48> bhs{};
    Bytes data;

    [[nodiscard]] std::uint8_t opcode() const { return bhs[0] & 0x3f; }
    [[nodiscard]] bool is_immediate() const { return (bhs[0] & 0x40) != 0; }
    [[nodiscard]] bool is_final() const { return (bhs[1] & 0x80) != 0; }
    [[nodiscard]] std::uint64_t get(std::size_t at, std::size_t bytes) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) value = (value << 8) | bhs.at(at + i);
        return value;
    }
    [[nodiscard]] std::uint32_t u32(std::size_t at) const {
        return static_cast<std::uint32_t>(get(at, 4));
    }
    Pdu& put(std::size_t at, std::size_t bytes, std::uint64_t value) {
        for (std::size_t i = bytes; i > 0; --i) {
            bhs.at(at + i - 1) = static_cast<std::uint8_t>(value);
            value >>= 8;
        }
        return *this;
    }
    [[nodiscard]] std::uint32_t itt() const { return u32(16); }
    [[nodiscard]] std::uint32_t ttt() const { return u32(20); }
    [[nodiscard]] std::uint32_t cmd_sn() const { return u32(24); }
    [[nodiscard]] std::uint32_t expected_stat_sn() const { return u32(28); }
    [[nodiscard]] std::uint8_t cdb(std::size_t i) const { return bhs.at(32 + i); }
};

/// Which digests stand on a connection.
struct Digests {
    bool header = false;
    bool data = false;
};

/// The wire form; sets DataSegmentLength.
[[nodiscard]] Bytes encode(Pdu pdu, Digests digests);

/// Cuts PDUs off the front of a growing stream.
class Decoder {
public:
    Digests digests;
    void add(std::span<const std::uint8_t> bytes);
    /// Empty: more bytes are needed, or the stream is broken.
    [[nodiscard]] std::optional<Pdu> next();
    /// A digest was wrong or an AHS came: nothing can follow.
    [[nodiscard]] bool is_broken() const { return is_broken_; }
    [[nodiscard]] bool is_empty() const { return stream_.empty(); }

private:
    Bytes stream_;
    bool is_broken_ = false;
};

using TextPairs = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] TextPairs parse_text(std::span<const std::uint8_t> data);
[[nodiscard]] Bytes make_text(const TextPairs& pairs);

/// What a target answers to the keys of a login.
struct TargetParameters {
    bool header_digest = false;
    bool data_digest = false;
    std::uint32_t max_recv_bytes = 8192;
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;
    bool initial_r2t = false;
    bool immediate_data = true;
    std::uint16_t max_r2t = 1;
    bool data_in_order = true;  ///< False: as far as the initiator agrees.
    std::uint16_t time2wait_s = 0;
    std::uint8_t error_recovery_level = 0;
    std::uint16_t max_connections = 1;
};

/// What holds after the login, seen from the target.
struct Agreed {
    Digests digests;
    std::uint32_t initiator_recv_bytes = 8192;
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;
    bool initial_r2t = true;
    bool immediate_data = true;
    std::uint16_t max_r2t = 1;
    bool pdu_in_order = true;
    bool sequence_in_order = true;
    std::uint8_t error_recovery_level = 0;
    std::uint16_t max_connections = 1;
};

/// Answers one Login Request: the response without StatSN and window. `agreed` is updated with
/// every operational key. The login is over when is_last is set.
struct LoginAnswer {
    Pdu response;
    bool is_last = false;
};
[[nodiscard]] LoginAnswer answer_login(const Pdu& request, const TargetParameters& ours,
                                       Agreed& agreed);

}  // namespace holdfast::sim
