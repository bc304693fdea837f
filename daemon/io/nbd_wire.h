/// Numbers of the NBD protocol, newstyle fixed negotiation and simple replies.
/// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast::daemon::nbd {

inline constexpr std::uint64_t kGreetingMagic = 0x4e42'444d'4147'4943;  // "NBDMAGIC"
inline constexpr std::uint64_t kOptionMagic = 0x4948'4156'454f'5054;    // "IHAVEOPT"
inline constexpr std::uint64_t kOptionReplyMagic = 0x0003'e889'0455'65a9;
inline constexpr std::uint32_t kRequestMagic = 0x2560'9513;
inline constexpr std::uint32_t kReplyMagic = 0x6744'6698;

inline constexpr std::size_t kClientFlagsBytes = 4;
inline constexpr std::size_t kOptionHeaderBytes = 16;
inline constexpr std::size_t kRequestBytes = 28;
inline constexpr std::size_t kReplyBytes = 16;
inline constexpr std::size_t kExportNamePadding = 124;

// Handshake flags; the client's have the same numbers.
inline constexpr std::uint16_t kFixedNewstyle = 1U << 0;
inline constexpr std::uint16_t kNoZeroes = 1U << 1;

// Transmission flags.
inline constexpr std::uint16_t kHasFlags = 1U << 0;
inline constexpr std::uint16_t kReadOnly = 1U << 1;
inline constexpr std::uint16_t kSendFlush = 1U << 2;
inline constexpr std::uint16_t kSendFua = 1U << 3;
inline constexpr std::uint16_t kRotational = 1U << 4;
inline constexpr std::uint16_t kSendTrim = 1U << 5;
inline constexpr std::uint16_t kSendWriteZeroes = 1U << 6;
inline constexpr std::uint16_t kCanMultiConn = 1U << 8;

enum class Option : std::uint32_t { ExportName = 1, Abort = 2, List = 3, Info = 6, Go = 7 };

enum class OptionReply : std::uint32_t {
    Ack = 1,
    Server = 2,
    Info = 3,
    Unsupported = 0x8000'0001,
    Invalid = 0x8000'0003,
    Unknown = 0x8000'0006,
    TooBig = 0x8000'0009,
};

enum class Info : std::uint16_t { Export = 0, BlockSize = 3 };

enum class Command : std::uint16_t {
    Read = 0,
    Write = 1,
    Disconnect = 2,
    Flush = 3,
    Trim = 4,
    WriteZeroes = 6,
};

// Command flags.
inline constexpr std::uint16_t kFlagFua = 1U << 0;
inline constexpr std::uint16_t kFlagNoHole = 1U << 1;

// Errors on the wire; the numbers are Linux's.
inline constexpr std::uint32_t kPermission = 1;
inline constexpr std::uint32_t kIo = 5;
inline constexpr std::uint32_t kInvalid = 22;
inline constexpr std::uint32_t kNoSpace = 28;
inline constexpr std::uint32_t kNotSupported = 95;
inline constexpr std::uint32_t kShutdown = 108;

}  // namespace holdfast::daemon::nbd
