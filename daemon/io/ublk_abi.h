/// The part of the kernel's ublk interface that Holdfast uses, as of Linux 6.12 with what later
/// kernels added to it. Debian 12 installs the header of 6.1, which knows less.
/// Facts from the kernel's include/uapi/linux/ublk_cmd.h.
#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace holdfast::daemon::ublk {

/// Payload of a control command, 32 bytes inside a 128-byte submission entry.
struct ControlCommand {
    std::uint32_t device_id = 0;
    std::uint16_t queue_id = 0xffff;  ///< 0xffff: not for a queue.
    std::uint16_t buffer_bytes = 0;
    std::uint64_t buffer_address = 0;
    std::uint64_t data = 0;
    std::uint16_t path_bytes = 0;
    std::uint16_t padding = 0;
    std::uint32_t reserved = 0;
};
static_assert(sizeof(ControlCommand) == 32);

/// What a device is, both ways in AddDevice.
struct DeviceInfo {
    std::uint16_t queues = 1;
    std::uint16_t queue_depth = 0;
    std::uint16_t state = 0;
    std::uint16_t padding0 = 0;
    std::uint32_t buffer_bytes_max = 0;
    std::uint32_t device_id = 0;
    std::int32_t server_pid = 0;
    std::uint32_t padding1 = 0;
    std::uint64_t flags = 0;
    std::uint64_t server_flags = 0;
    std::uint32_t owner_uid = 0;
    std::uint32_t owner_gid = 0;
    std::uint64_t reserved1 = 0;
    std::uint64_t reserved2 = 0;
};
static_assert(sizeof(DeviceInfo) == 64);

struct BasicParams {
    std::uint32_t attributes = 0;
    std::uint8_t logical_block_shift = 9;
    std::uint8_t physical_block_shift = 9;
    std::uint8_t optimal_io_shift = 9;
    std::uint8_t minimal_io_shift = 9;
    std::uint32_t sectors_max = 0;  ///< Of one request; 0 is refused.
    std::uint32_t chunk_sectors = 0;
    std::uint64_t device_sectors = 0;
    std::uint64_t virtual_boundary_mask = 0;
};

struct DiscardParams {
    std::uint32_t alignment = 0;    ///< Bytes.
    std::uint32_t granularity = 0;  ///< Bytes; 0 is refused.
    std::uint32_t discard_sectors_max = 0;
    std::uint32_t write_zeroes_sectors_max = 0;
    std::uint16_t segments_max = 0;  ///< 1 whenever discard_sectors_max is not 0.
    std::uint16_t reserved0 = 0;
};

struct Params {
    std::uint32_t bytes = 0;  ///< sizeof(Params).
    std::uint32_t types = 0;
    BasicParams basic;
    DiscardParams discard;
};
static_assert(sizeof(BasicParams) == 32 && sizeof(DiscardParams) == 20);
static_assert(sizeof(Params) == 64);

/// Bits of Params::types.
inline constexpr std::uint32_t kTypeBasic = 1U << 0;
inline constexpr std::uint32_t kTypeDiscard = 1U << 1;

/// Bits of BasicParams::attributes.
inline constexpr std::uint32_t kAttributeReadOnly = 1U << 0;
inline constexpr std::uint32_t kAttributeRotational = 1U << 1;
inline constexpr std::uint32_t kAttributeVolatileCache = 1U << 2;
inline constexpr std::uint32_t kAttributeFua = 1U << 3;

/// Bits of DeviceInfo::flags, and of the answer to kGetFeatures.
inline constexpr std::uint64_t kFlagCompleteInTask = 1ULL << 1;
inline constexpr std::uint64_t kFlagUserRecovery = 1ULL << 3;
inline constexpr std::uint64_t kFlagUserRecoveryReissue = 1ULL << 4;
inline constexpr std::uint64_t kFlagIoctlEncoding = 1ULL << 6;
inline constexpr std::uint64_t kFlagUpdateSize = 1ULL << 10;

/// DeviceInfo::state.
inline constexpr std::uint16_t kStateQuiesced = 2;

/// One request, written by the kernel into memory that we map read-only.
struct Descriptor {
    std::uint32_t operation_and_flags = 0;  ///< Operation in bits 0 to 7.
    std::uint32_t sectors = 0;  ///< Smaller than asked for when the kernel's copy came out short.
    std::uint64_t start_sector = 0;
    std::uint64_t address = 0;
};
static_assert(sizeof(Descriptor) == 24);

inline constexpr std::uint32_t kOperationMask = 0xff;
inline constexpr std::uint32_t kOperationRead = 0;
inline constexpr std::uint32_t kOperationWrite = 1;
inline constexpr std::uint32_t kOperationFlush = 2;
inline constexpr std::uint32_t kOperationDiscard = 3;
inline constexpr std::uint32_t kOperationWriteZeroes = 5;
inline constexpr std::uint32_t kRequestFua = 1U << 13;
inline constexpr std::uint32_t kRequestNoUnmap = 1U << 15;

/// Payload of an I/O command, 16 bytes.
struct IoCommand {
    std::uint16_t queue_id = 0;
    std::uint16_t tag = 0;
    std::int32_t result = 0;
    std::uint64_t buffer_address = 0;
};
static_assert(sizeof(IoCommand) == 16);

inline constexpr std::int32_t kResultOk = 0;

/// A tag's descriptors start here in the char device; depth is at most this.
inline constexpr std::uint16_t kDepthMax = 4096;
inline constexpr unsigned kSectorBytes = 512;

// Control commands.
inline constexpr std::uint32_t kAddDevice = _IOWR('u', 0x04, ControlCommand);
inline constexpr std::uint32_t kDeleteDevice = _IOWR('u', 0x05, ControlCommand);
inline constexpr std::uint32_t kStartDevice = _IOWR('u', 0x06, ControlCommand);
inline constexpr std::uint32_t kStopDevice = _IOWR('u', 0x07, ControlCommand);
inline constexpr std::uint32_t kSetParams = _IOWR('u', 0x08, ControlCommand);
inline constexpr std::uint32_t kGetDeviceInfo = _IOR('u', 0x02, ControlCommand);
inline constexpr std::uint32_t kStartRecovery = _IOWR('u', 0x10, ControlCommand);
inline constexpr std::uint32_t kEndRecovery = _IOWR('u', 0x11, ControlCommand);
inline constexpr std::uint32_t kGetFeatures = _IOR('u', 0x13, ControlCommand);
inline constexpr std::uint32_t kUpdateSize = _IOWR('u', 0x15, ControlCommand);

// I/O commands.
inline constexpr std::uint32_t kFetch = _IOWR('u', 0x20, IoCommand);
inline constexpr std::uint32_t kCommitAndFetch = _IOWR('u', 0x21, IoCommand);

}  // namespace holdfast::daemon::ublk
