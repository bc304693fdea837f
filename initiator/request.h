/// What the block side asks of the engine, and how it ends. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/strong.h"

namespace holdfast::initiator {

/// What a request asks of the logical unit.
enum class RequestKind : std::uint8_t {
    Read,
    Write,
    Flush,        ///< SYNCHRONIZE CACHE of the whole unit; completes at once when the unit has no
                  ///< volatile cache.
    Discard,      ///< UNMAP; contents are undefined afterwards.
    WriteZeroes,  ///< Reads as zeroes afterwards: WRITE SAME 16, with UNMAP where allowed and the
                  ///< unit reads zeroes.
};

/// One request. Blocks are the unit's own (DeviceFacts::block_bytes).
struct Request {
    std::uint16_t tag = 0;  ///< < EngineLimits::depth; free again after its completion was polled.
    RequestKind kind = RequestKind::Read;
    bool force_unit_access =
        false;  ///< Write: durable before completion (FUA, or a flush where the unit has no FUA).
    bool may_unmap = true;  ///< WriteZeroes: deallocating is welcome.
    Lba lba{};
    BlockCount blocks{};
    /// Read: filled before completion. Write: borrowed until completion and never changed.
    /// Exactly blocks * block_bytes for reads and writes, empty otherwise.
    std::span<std::byte> data{};
};

/// The answer of submit().
enum class Submitted : std::uint8_t {
    Accepted,    ///< A completion with this tag will follow, for certain.
    Full,        ///< The tag is still in use.
    OutOfRange,  ///< Beyond the device, wrong data size or alignment: nothing was taken.
    Stopped,     ///< The session has ended.
};

/// How a request ended.
enum class Outcome : std::uint8_t {
    Done,
    MediumError,          ///< The target reports unrecoverable data. EIO.
    ReservationConflict,  ///< Another initiator holds the unit. EBADE.
    NoSpace,              ///< Thin provisioning is exhausted. ENOSPC.
    ReadOnly,             ///< The unit is write protected. EROFS.
    Unsupported,          ///< The unit does not know the command. EOPNOTSUPP.
    TargetFailure,        ///< Any other final verdict of the target. EIO.
    TimedOut,             ///< The profile's deadline passed without the session. ETIMEDOUT.
    Gone,                 ///< The session was stopped, or the unit is not the one we attached. EIO.
};

struct Completion {
    std::uint16_t tag = 0;
    Outcome outcome = Outcome::Done;
};

}  // namespace holdfast::initiator
