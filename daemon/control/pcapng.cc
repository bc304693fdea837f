#include "daemon/control/pcapng.h"

#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::daemon {

namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;

constexpr std::uint16_t kOptEnd = 0;
constexpr std::uint16_t kOptComment = 1;
constexpr std::uint16_t kShbUserProgram = 4;
constexpr std::uint16_t kIfName = 2;
constexpr std::uint16_t kIfDescription = 3;
constexpr std::uint16_t kIfTimeResolution = 9;
constexpr std::string_view kNanoseconds{"\x09", 1};  // 10^-9 s.
/// An option's length is 16 bits; longer text is cut.
constexpr std::size_t kOptionBytesMax = 4096;

}  // namespace

PcapngWriter::PcapngWriter(std::string_view program) {
    begin(kSectionHeader);
    u32(kByteOrderMagic);
    u16(1);  // Version 1.0.
    u16(0);
    u32(0xffff'ffffU);  // The section's length, 64 bits: not given.
    u32(0xffff'ffffU);
    option(kShbUserProgram, program);
    end_options();
    end();
}

void PcapngWriter::add_interface(LinkType type, std::string_view name,
                                 std::string_view description) {
    begin(kInterfaceDescription);
    u16(static_cast<std::uint16_t>(type));
    u16(0);
    u32(0);  // No limit on the bytes kept of a packet.
    option(kIfName, name);
    option(kIfDescription, description);
    option(kIfTimeResolution, kNanoseconds);
    end_options();
    end();
    ++interfaces_;
}

void PcapngWriter::add(const CapturedPacket& packet) {
    HF_ASSERT(packet.interface < interfaces_ && packet.bytes.size() <= packet.wire_bytes);
    const auto at = static_cast<std::uint64_t>(packet.at_ns);
    begin(kEnhancedPacket);
    u32(packet.interface);
    u32(static_cast<std::uint32_t>(at >> 32));
    u32(static_cast<std::uint32_t>(at));
    u32(static_cast<std::uint32_t>(packet.bytes.size()));
    u32(packet.wire_bytes);
    padded(as_text(packet.bytes));
    if (!packet.comment.empty()) {
        option(kOptComment, packet.comment);
        end_options();
    }
    end();
}

void PcapngWriter::begin(std::uint32_t type) {
    block_at_ = out_.size();
    u32(type);
    u32(0);  // The length, see end().
}

void PcapngWriter::end() {
    const auto bytes = static_cast<std::uint32_t>(out_.size() + sizeof(std::uint32_t) - block_at_);
    u32(bytes);
    std::array<char, sizeof(bytes)> raw{};
    std::memcpy(raw.data(), &bytes, raw.size());
    out_.replace(block_at_ + sizeof(std::uint32_t), raw.size(), raw.data(), raw.size());
}

void PcapngWriter::option(std::uint16_t code, std::string_view value) {
    const std::string_view kept = value.substr(0, kOptionBytesMax);
    u16(code);
    u16(static_cast<std::uint16_t>(kept.size()));
    padded(kept);
}

void PcapngWriter::end_options() {
    u16(kOptEnd);
    u16(0);
}

void PcapngWriter::u16(std::uint16_t value) {
    std::array<char, sizeof(value)> raw{};
    std::memcpy(raw.data(), &value, raw.size());
    out_.append(raw.data(), raw.size());
}

void PcapngWriter::u32(std::uint32_t value) {
    std::array<char, sizeof(value)> raw{};
    std::memcpy(raw.data(), &value, raw.size());
    out_.append(raw.data(), raw.size());
}

void PcapngWriter::padded(std::string_view bytes) {
    out_.append(bytes);
    out_.append((4 - bytes.size() % 4) % 4, '\0');
}

}  // namespace holdfast::daemon
