/// Headers as a target would send them, written by hand: the tests' own idea of the wire.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "initiator/pdu/target_pdu.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator::testing {

/// 48 bytes that can be patched at any offset and used as a Bhs.
class Header {
public:
    explicit Header(std::uint8_t opcode, std::uint8_t flags = 0x80) {
        set8(0, opcode);
        set8(1, flags);
    }
    Header& set8(std::size_t offset, std::uint8_t value) {
        bytes_.at(offset) = std::byte{value};
        return *this;
    }
    Header& set16(std::size_t offset, std::uint16_t value) {
        return set8(offset, static_cast<std::uint8_t>(value >> 8))
            .set8(offset + 1, static_cast<std::uint8_t>(value));
    }
    Header& set24(std::size_t offset, std::uint32_t value) {
        return set8(offset, static_cast<std::uint8_t>(value >> 16))
            .set16(offset + 1, static_cast<std::uint16_t>(value));
    }
    Header& set32(std::size_t offset, std::uint32_t value) {
        return set16(offset, static_cast<std::uint16_t>(value >> 16))
            .set16(offset + 2, static_cast<std::uint16_t>(value));
    }
    Header& set64(std::size_t offset, std::uint64_t value) {
        return set32(offset, static_cast<std::uint32_t>(value >> 32))
            .set32(offset + 4, static_cast<std::uint32_t>(value));
    }
    /// DataSegmentLength.
    Header& data(std::uint32_t bytes) { return set24(5, bytes); }
    Header& itt(std::uint32_t tag) { return set32(16, tag); }
    Header& ttt(std::uint32_t tag) { return set32(20, tag); }

    [[nodiscard]] Bhs bhs() const { return bytes_; }
    [[nodiscard]] BhsOut out() { return bytes_; }
    [[nodiscard]] std::uint8_t at8(std::size_t offset) const {
        return std::to_integer<std::uint8_t>(bytes_.at(offset));
    }
    [[nodiscard]] std::uint32_t at32(std::size_t offset) const {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | at8(offset + i);
        return value;
    }
    [[nodiscard]] std::uint64_t at64(std::size_t offset) const {
        return std::uint64_t{at32(offset)} << 32 | at32(offset + 4);
    }

private:
    std::array<std::byte, kBhsBytes> bytes_{};
};

inline Header nop_in() {
    return Header{0x20}.itt(0xffff'ffff).ttt(0xffff'ffff);
}
inline Header scsi_response() {
    return Header{0x21}.itt(7);
}
inline Header task_response() {
    return Header{0x22}.itt(7);
}
/// T=1, security to operational.
inline Header login_response() {
    return Header{0x23, 0x81}.itt(7);
}
inline Header text_response() {
    return Header{0x24}.itt(7).ttt(0xffff'ffff);
}
inline Header data_in() {
    return Header{0x25}.itt(7).ttt(0xffff'ffff);
}
inline Header logout_response() {
    return Header{0x26}.itt(7);
}
inline Header r2t() {
    return Header{0x31}.itt(7).ttt(9).set32(44, 512);
}
inline Header async_message() {
    return Header{0x32}.itt(0xffff'ffff).set8(36, 1);
}
inline Header reject() {
    return Header{0x3f}.itt(0xffff'ffff).set8(2, 0x04).data(48);
}

}  // namespace holdfast::initiator::testing
