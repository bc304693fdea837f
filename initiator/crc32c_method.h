/// How CRC32C is computed on this machine. Every method gives the same value; they differ in speed.
///
/// ISA-L uses the processor's CRC instructions. Under emulation (QEMU's TCG) each of those is a
/// call of a bit-wise routine, and tables are four times as fast. Nothing that the processor
/// reports tells the two apart: daemon/io measures the methods once, when a driver opens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::initiator {

enum class CrcMethod : std::uint8_t {
    Isal,    ///< ISA-L's crc32_iscsi.
    Tables,  ///< Slicing by 8: eight tables of 1 KiB, eight bytes a step.
};

/// Continues the CRC register over `bytes`, which may be empty. Neither presets nor inverts. Pure.
[[nodiscard]] std::uint32_t crc32c_isal(std::uint32_t crc,
                                        std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::uint32_t crc32c_tables(std::uint32_t crc,
                                          std::span<const std::byte> bytes) noexcept;

/// What crc32c_update() does from here on; ISA-L's until somebody says otherwise. Any thread: a
/// digest in the middle of its bytes may change methods.
void use_crc_method(CrcMethod method) noexcept;
[[nodiscard]] CrcMethod crc_method_in_use() noexcept;

/// Continues the CRC register by the method in use.
[[nodiscard]] std::uint32_t crc32c_update(std::uint32_t crc,
                                          std::span<const std::byte> bytes) noexcept;

}  // namespace holdfast::initiator
