/// Words of SCSI that the target speaks: SAM-5 status, SPC-4 sense and operation codes, SBC-3
/// blocks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "stress/target/wire.h"

namespace holdfast::target {

using Cdb = std::array<std::byte, 16>;
using CdbView = std::span<const std::byte, 16>;

enum class ScsiStatus : std::uint8_t {
    Good = 0x00,
    CheckCondition = 0x02,
    Busy = 0x08,
    ReservationConflict = 0x18,
    TaskSetFull = 0x28,
    TaskAborted = 0x40,
};

namespace sense_key {
inline constexpr std::uint8_t kNotReady = 0x02;
inline constexpr std::uint8_t kMediumError = 0x03;
inline constexpr std::uint8_t kIllegalRequest = 0x05;
inline constexpr std::uint8_t kUnitAttention = 0x06;
inline constexpr std::uint8_t kDataProtect = 0x07;
inline constexpr std::uint8_t kAbortedCommand = 0x0b;
inline constexpr std::uint8_t kMiscompare = 0x0e;
}  // namespace sense_key

/// Sense key with additional code and qualifier. SPC-4 section 4.5.
struct Sense {
    std::uint8_t key = 0;
    std::uint8_t asc = 0;
    std::uint8_t ascq = 0;
    /// INFORMATION field: the offset of a miscompare.
    std::optional<std::uint32_t> information{};
    bool operator==(const Sense&) const = default;
};

inline constexpr Sense kInvalidOpcode{sense_key::kIllegalRequest, 0x20, 0x00, {}};
inline constexpr Sense kLbaOutOfRange{sense_key::kIllegalRequest, 0x21, 0x00, {}};
inline constexpr Sense kInvalidFieldInCdb{sense_key::kIllegalRequest, 0x24, 0x00, {}};
inline constexpr Sense kNoSuchLun{sense_key::kIllegalRequest, 0x25, 0x00, {}};
inline constexpr Sense kInvalidParameter{sense_key::kIllegalRequest, 0x26, 0x00, {}};
inline constexpr Sense kParameterLength{sense_key::kIllegalRequest, 0x1a, 0x00, {}};
inline constexpr Sense kWriteProtected{sense_key::kDataProtect, 0x27, 0x00, {}};
inline constexpr Sense kPowerOn{sense_key::kUnitAttention, 0x29, 0x00, {}};
inline constexpr Sense kBusDeviceReset{sense_key::kUnitAttention, 0x29, 0x03, {}};
inline constexpr Sense kReservationsReleased{sense_key::kUnitAttention, 0x2a, 0x04, {}};
inline constexpr Sense kRegistrationsPreempted{sense_key::kUnitAttention, 0x2a, 0x05, {}};
inline constexpr Sense kCapacityChanged{sense_key::kUnitAttention, 0x2a, 0x09, {}};
inline constexpr Sense kCrcError{sense_key::kAbortedCommand, 0x47, 0x05, {}};
inline constexpr Sense kUnexpectedUnsolicitedData{sense_key::kAbortedCommand, 0x0c, 0x0c, {}};

/// Operation codes.
namespace scsi_op {
inline constexpr std::uint8_t kTestUnitReady = 0x00;
inline constexpr std::uint8_t kRequestSense = 0x03;
inline constexpr std::uint8_t kRead6 = 0x08;
inline constexpr std::uint8_t kWrite6 = 0x0a;
inline constexpr std::uint8_t kInquiry = 0x12;
inline constexpr std::uint8_t kModeSelect6 = 0x15;
inline constexpr std::uint8_t kReserve6 = 0x16;
inline constexpr std::uint8_t kRelease6 = 0x17;
inline constexpr std::uint8_t kModeSense6 = 0x1a;
inline constexpr std::uint8_t kStartStopUnit = 0x1b;
inline constexpr std::uint8_t kPreventAllow = 0x1e;
inline constexpr std::uint8_t kReadCapacity10 = 0x25;
inline constexpr std::uint8_t kRead10 = 0x28;
inline constexpr std::uint8_t kWrite10 = 0x2a;
inline constexpr std::uint8_t kWriteVerify10 = 0x2e;
inline constexpr std::uint8_t kVerify10 = 0x2f;
inline constexpr std::uint8_t kPrefetch10 = 0x34;
inline constexpr std::uint8_t kSyncCache10 = 0x35;
inline constexpr std::uint8_t kWriteSame10 = 0x41;
inline constexpr std::uint8_t kUnmap = 0x42;
inline constexpr std::uint8_t kModeSense10 = 0x5a;
inline constexpr std::uint8_t kPersistentReserveIn = 0x5e;
inline constexpr std::uint8_t kPersistentReserveOut = 0x5f;
inline constexpr std::uint8_t kRead16 = 0x88;
inline constexpr std::uint8_t kCompareAndWrite = 0x89;
inline constexpr std::uint8_t kWrite16 = 0x8a;
inline constexpr std::uint8_t kOrWrite16 = 0x8b;
inline constexpr std::uint8_t kWriteVerify16 = 0x8e;
inline constexpr std::uint8_t kVerify16 = 0x8f;
inline constexpr std::uint8_t kPrefetch16 = 0x90;
inline constexpr std::uint8_t kSyncCache16 = 0x91;
inline constexpr std::uint8_t kWriteSame16 = 0x93;
inline constexpr std::uint8_t kServiceActionIn16 = 0x9e;
inline constexpr std::uint8_t kReportLuns = 0xa0;
inline constexpr std::uint8_t kMaintenanceIn = 0xa3;
inline constexpr std::uint8_t kRead12 = 0xa8;
inline constexpr std::uint8_t kWrite12 = 0xaa;
inline constexpr std::uint8_t kWriteVerify12 = 0xae;
inline constexpr std::uint8_t kVerify12 = 0xaf;
}  // namespace scsi_op

/// What a CDB asks for, known before any data moves: how many bytes it wants from the initiator, or
/// why it cannot be done.
struct Plan {
    std::uint64_t out_bytes = 0;
    std::optional<Sense> refusal{};
    /// The command has no meaning with more or fewer bytes than these.
    bool exact = false;
};

/// How a command ended. The data is `reply` or, when that is empty, `borrowed` from the disk.
struct Outcome {
    ScsiStatus status = ScsiStatus::Good;
    Sense sense{};
    std::vector<std::byte> reply{};
    Bytes borrowed{};

    [[nodiscard]] static Outcome check(const Sense& why) {
        return Outcome{.status = ScsiStatus::CheckCondition, .sense = why};
    }
    [[nodiscard]] Bytes data() const { return reply.empty() ? borrowed : Bytes{reply}; }
};

/// Fixed-format sense data. SPC-4 section 4.5.3.
[[nodiscard]] std::array<std::byte, 18> fixed_sense(const Sense& sense);

}  // namespace holdfast::target
