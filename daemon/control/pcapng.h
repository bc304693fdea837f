/// Writes pcapng: section, interfaces, packets with nanoseconds and comments. Of the format
/// (draft-ietf-opsawg-pcapng) only what a dump of the flight recorder needs. Blocks are written in
/// this machine's byte order, as the format wants it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast::daemon {

/// What the bytes of an interface's packets are. Numbers of tcpdump.org/linktypes.html.
enum class LinkType : std::uint16_t {
    Ethernet = 1,
    UpperPdu = 252,  ///< Tags, the first of which name the dissector; then its bytes.
};

/// One packet, or the front of one.
struct CapturedPacket {
    std::uint32_t interface = 0;  ///< In order of add_interface().
    std::int64_t at_ns = 0;       ///< Since 1970, UTC.
    std::span<const std::byte> bytes;
    std::uint32_t wire_bytes = 0;  ///< At least bytes.size(); more: the rest was not kept.
    std::string_view comment;      ///< Empty: none.
};

/// See the file comment.
class PcapngWriter {
public:
    /// `program` stands in the section's header.
    explicit PcapngWriter(std::string_view program);

    void add_interface(LinkType type, std::string_view name, std::string_view description);
    void add(const CapturedPacket& packet);

    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    void begin(std::uint32_t type);
    void end();
    void option(std::uint16_t code, std::string_view value);
    void end_options();
    void u16(std::uint16_t value);
    void u32(std::uint32_t value);
    void padded(std::string_view bytes);

    std::string out_;
    std::size_t block_at_ = 0;
    std::uint32_t interfaces_ = 0;
};

}  // namespace holdfast::daemon
