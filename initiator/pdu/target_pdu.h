/// Views of everything a target may send. RFC 7143 sections 11.4, 11.6 to 11.9, 11.11, 11.13,
/// 11.15, 11.17, 11.19.
///
/// A view borrows the 48 bytes. It can only be made by parse(), which has judged all that one
/// header can decide alone; so no accessor can fail. Rules of parsing, the same for every view:
///  - the opcode must be the view's own (OpcodeUnexpected) and TotalAHSLength 0 (AhsInResponse);
///  - a reserved value of a defined field is a violation and never mapped to another (PDU-04);
///  - reserved bits and fields, fields without meaning in this PDU, and bits that section 11 draws
///    as constants (F of an R2T, the tag of a Reject) are not looked at (PDU-03, PDU-21);
///  - limits that were negotiated, tags, LUNs and sequence numbers are the session's to judge.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "base/strong.h"
#include "initiator/pdu/opcode.h"
#include "initiator/pdu/types.h"
#include "initiator/pdu/violation.h"

namespace holdfast::initiator {

/// Whether fewer or more bytes were moved than the command expected. Section 11.4.5.
enum class ResidualKind : std::uint8_t { None, Underflow, Overflow };

/// A residual; `count` is 0 when there is none, whatever stood in the field.
struct Residual {
    ResidualKind kind = ResidualKind::None;
    std::uint32_t count = 0;  ///< Bytes.
    constexpr bool operator==(const Residual&) const noexcept = default;
};

/// SCSI status codes that the PDU layer must tell apart. Section 11.4.2, SAM-4; every other value
/// is passed on for initiator/scsi to judge.
enum class ScsiStatus : std::uint8_t {
    Good = 0x00,
    CheckCondition = 0x02,
    ConditionMet = 0x04,
    Busy = 0x08,
    Intermediate = 0x10,
    ReservationConflict = 0x18,
    IntermediateConditionMet = 0x14,
    TaskSetFull = 0x28,
    AcaActive = 0x30,
    TaskAborted = 0x40,
};

/// SCSI Response. Section 11.4.
class ScsiResponseView {
public:
    [[nodiscard]] static std::expected<ScsiResponseView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    /// True when the target ran the command: only then status and residuals mean something.
    [[nodiscard]] bool is_completed() const noexcept { return response() == 0; }
    /// 0 completed, 1 target failure, 0x80 and above vendor specific. Section 11.4.3.
    [[nodiscard]] std::uint8_t response() const noexcept { return u8_at<2>(bhs_); }
    /// GOOD when the command was not completed: ask is_completed() first.
    [[nodiscard]] ScsiStatus status() const noexcept;
    /// Of a read or a write; of the write half of a bidirectional command.
    [[nodiscard]] Residual residual() const noexcept;
    /// Of the read half of a bidirectional command. Section 11.4.6.
    [[nodiscard]] Residual bidirectional_read_residual() const noexcept;
    [[nodiscard]] SnackTag snack_tag() const noexcept { return SnackTag{be32_at<20>(bhs_)}; }
    /// How many Data-In PDUs the target has sent; some targets leave it 0. Section 11.4.8.
    [[nodiscard]] DataSn expected_data_sn() const noexcept { return DataSn{be32_at<36>(bhs_)}; }

private:
    explicit ScsiResponseView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// How a task management function ended. Section 11.6.1, RFC 7144 section 6.2.
enum class TaskResponse : std::uint8_t {
    Complete = 0,
    TaskDoesNotExist = 1,
    LunDoesNotExist = 2,
    TaskStillAllegiant = 3,
    ReassignmentNotSupported = 4,
    FunctionNotSupported = 5,
    AuthorizationFailed = 6,
    FunctionSucceeded = 7,  ///< Only after iSCSIProtocolLevel 2: the session judges.
    FunctionRejected = 255,
};

/// Task Management Function Response. Section 11.6.
class TaskManagementResponseView {
public:
    [[nodiscard]] static std::expected<TaskManagementResponseView, Violation> parse(
        Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] TaskResponse response() const noexcept {
        return static_cast<TaskResponse>(u8_at<2>(bhs_));
    }

private:
    explicit TaskManagementResponseView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// The stages of login. Section 11.12.3.
enum class LoginStage : std::uint8_t { Security = 0, Operational = 1, FullFeature = 3 };

/// Status-Class. Section 11.13.5.
enum class LoginStatusClass : std::uint8_t {
    Success = 0,
    Redirection = 1,
    InitiatorError = 2,
    TargetError = 3,
};

/// Login Response. Section 11.13. With a class other than Success only class, detail and data mean
/// something: flags, stages and numbers are neither judged nor to be used.
class LoginResponseView {
public:
    [[nodiscard]] static std::expected<LoginResponseView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    [[nodiscard]] LoginStatusClass status_class() const noexcept {
        return static_cast<LoginStatusClass>(u8_at<36>(bhs_));
    }
    [[nodiscard]] std::uint8_t status_detail() const noexcept { return u8_at<37>(bhs_); }
    [[nodiscard]] bool is_transit() const noexcept { return (u8_at<1>(bhs_) & 0x80U) != 0; }
    [[nodiscard]] bool is_continued() const noexcept { return (u8_at<1>(bhs_) & 0x40U) != 0; }
    [[nodiscard]] LoginStage current_stage() const noexcept {
        return static_cast<LoginStage>((u8_at<1>(bhs_) >> 2) & 0x3U);
    }
    /// FullFeature when T is not set, where the field is reserved: ask is_transit() first.
    [[nodiscard]] LoginStage next_stage() const noexcept {
        return is_transit() ? static_cast<LoginStage>(u8_at<1>(bhs_) & 0x3U)
                            : LoginStage::FullFeature;
    }
    [[nodiscard]] std::uint8_t version_max() const noexcept { return u8_at<2>(bhs_); }
    [[nodiscard]] std::uint8_t version_active() const noexcept { return u8_at<3>(bhs_); }
    [[nodiscard]] Isid isid() const noexcept { return Isid{be64_at<8>(bhs_) >> 16}; }
    [[nodiscard]] Tsih tsih() const noexcept { return Tsih{be16_at<14>(bhs_)}; }

private:
    explicit LoginResponseView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// Text Response. Section 11.11.
class TextResponseView {
public:
    [[nodiscard]] static std::expected<TextResponseView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    [[nodiscard]] bool is_final() const noexcept { return (u8_at<1>(bhs_) & 0x80U) != 0; }
    [[nodiscard]] bool is_continued() const noexcept { return (u8_at<1>(bhs_) & 0x40U) != 0; }
    /// Copied into the next Text Request. The reserved tag when F is set, whatever stood there.
    [[nodiscard]] Ttt transfer_tag() const noexcept {
        return is_final() ? kTttReserved : Ttt{be32_at<20>(bhs_)};
    }
    /// Copied together with the transfer tag.
    [[nodiscard]] Lun lun() const noexcept { return Lun{be64_at<8>(bhs_)}; }

private:
    explicit TextResponseView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// SCSI Data-In. Section 11.7.
class DataInView {
public:
    [[nodiscard]] static std::expected<DataInView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    /// StatSN means something only with has_status(): STA-03.
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    /// Ends a sequence, not the transfer.
    [[nodiscard]] bool is_final() const noexcept { return (u8_at<1>(bhs_) & 0x80U) != 0; }
    /// Asks for a DataACK; to be ignored at error recovery level 0. Section 11.7.2.
    [[nodiscard]] bool wants_acknowledgement() const noexcept {
        return (u8_at<1>(bhs_) & 0x40U) != 0;
    }
    [[nodiscard]] bool has_status() const noexcept { return (u8_at<1>(bhs_) & 0x01U) != 0; }
    /// GOOD without has_status().
    [[nodiscard]] ScsiStatus status() const noexcept {
        return has_status() ? static_cast<ScsiStatus>(u8_at<3>(bhs_)) : ScsiStatus::Good;
    }
    /// None without has_status().
    [[nodiscard]] Residual residual() const noexcept;
    /// With wants_acknowledgement() these two are copied into the DataACK. Section 11.7.4.
    [[nodiscard]] Ttt transfer_tag() const noexcept { return Ttt{be32_at<20>(bhs_)}; }
    [[nodiscard]] Lun lun() const noexcept { return Lun{be64_at<8>(bhs_)}; }
    [[nodiscard]] DataSn data_sn() const noexcept { return DataSn{be32_at<36>(bhs_)}; }
    /// Within the command's transfer. offset + data_bytes() is at most 2^32 - 1.
    [[nodiscard]] std::uint32_t buffer_offset() const noexcept { return be32_at<40>(bhs_); }

private:
    explicit DataInView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// How a logout ended. Section 11.15.1.
enum class LogoutResult : std::uint8_t {
    Closed = 0,
    CidNotFound = 1,
    RecoveryNotSupported = 2,
    CleanupFailed = 3,
};

/// Logout Response. Section 11.15.
class LogoutResponseView {
public:
    [[nodiscard]] static std::expected<LogoutResponseView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] LogoutResult result() const noexcept {
        return static_cast<LogoutResult>(u8_at<2>(bhs_));
    }
    /// Seconds. When these two count at all is the session's to judge. Sections 11.15.3, 11.15.4.
    [[nodiscard]] std::uint16_t time2wait_s() const noexcept { return be16_at<40>(bhs_); }
    [[nodiscard]] std::uint16_t time2retain_s() const noexcept { return be16_at<42>(bhs_); }

private:
    explicit LogoutResponseView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// Ready To Transfer. Section 11.8.
class R2tView {
public:
    [[nodiscard]] static std::expected<R2tView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    /// StatSN is the next one and is not counted. Section 11.8.3.
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] Lun lun() const noexcept { return Lun{be64_at<8>(bhs_)}; }
    [[nodiscard]] Ttt transfer_tag() const noexcept { return Ttt{be32_at<20>(bhs_)}; }
    [[nodiscard]] R2tSn r2t_sn() const noexcept { return R2tSn{be32_at<36>(bhs_)}; }
    [[nodiscard]] std::uint32_t buffer_offset() const noexcept { return be32_at<40>(bhs_); }
    /// Bytes, not 0; buffer_offset() + desired_bytes() is at most 2^32 - 1.
    [[nodiscard]] std::uint32_t desired_bytes() const noexcept { return be32_at<44>(bhs_); }

private:
    explicit R2tView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// AsyncEvent; 248 to 255 are vendor specific. Section 11.9.1.
enum class AsyncEvent : std::uint8_t {
    ScsiEvent = 0,
    LogoutRequest = 1,
    ConnectionDrop = 2,
    SessionDrop = 3,
    NegotiationRequest = 4,
    TaskTermination = 5,  ///< Only after TaskReporting=FastAbort: the session judges.
    Vendor = 248,         ///< Stands for all of 248 to 255.
};

/// Asynchronous Message. Section 11.9.
class AsyncMessageView {
public:
    [[nodiscard]] static std::expected<AsyncMessageView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    /// Sense data of a ScsiEvent, else vendor data to be ignored. Section 11.9.4.
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    [[nodiscard]] AsyncEvent event() const noexcept;
    /// As on the wire, for the log.
    [[nodiscard]] std::uint8_t event_code() const noexcept { return u8_at<36>(bhs_); }
    [[nodiscard]] std::uint8_t vendor_code() const noexcept { return u8_at<37>(bhs_); }
    [[nodiscard]] Lun lun() const noexcept { return Lun{be64_at<8>(bhs_)}; }
    /// ConnectionDrop: the CID.
    [[nodiscard]] std::uint16_t parameter1() const noexcept { return be16_at<38>(bhs_); }
    /// Drops: Time2Wait, seconds.
    [[nodiscard]] std::uint16_t parameter2() const noexcept { return be16_at<40>(bhs_); }
    /// Drops: Time2Retain; LogoutRequest and NegotiationRequest: within so many seconds.
    [[nodiscard]] std::uint16_t parameter3() const noexcept { return be16_at<42>(bhs_); }

private:
    explicit AsyncMessageView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// Why the target rejected a PDU. Section 11.17.1.
enum class RejectReason : std::uint8_t {
    DataDigestError = 0x02,
    SnackReject = 0x03,
    ProtocolError = 0x04,
    CommandNotSupported = 0x05,
    TooManyImmediateCommands = 0x06,
    TaskInProgress = 0x07,
    InvalidDataAck = 0x08,
    InvalidPduField = 0x09,
    LongOperation = 0x0a,
    NegotiationReset = 0x0b,  ///< Deprecated; a negotiation failure.
    WaitingForLogout = 0x0c,
};

/// Reject. Section 11.17. Its data is the header of the rejected PDU, if the target sent it whole.
class RejectView {
public:
    [[nodiscard]] static std::expected<RejectView, Violation> parse(Bhs bhs) noexcept;

    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    [[nodiscard]] RejectReason reason() const noexcept {
        return static_cast<RejectReason>(u8_at<2>(bhs_));
    }
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }
    /// True when the data holds at least the 48 bytes of our header.
    [[nodiscard]] bool has_rejected_header() const noexcept { return data_bytes() >= kBhsBytes; }
    /// Only for a rejected Data/R2T SNACK with ProtocolError. Section 11.17.2.
    [[nodiscard]] std::uint32_t next_data_or_r2t_sn() const noexcept { return be32_at<36>(bhs_); }

private:
    explicit RejectView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

/// NOP-In. Section 11.19.
class NopInView {
public:
    [[nodiscard]] static std::expected<NopInView, Violation> parse(Bhs bhs) noexcept;

    /// True when it answers a ping of ours: task_tag() names it, and StatSN is counted.
    [[nodiscard]] bool is_answer() const noexcept { return task_tag() != kIttReserved; }
    /// True when we must answer with the transfer tag and the LUN copied. Section 11.18.
    [[nodiscard]] bool wants_answer() const noexcept { return transfer_tag() != kTttReserved; }
    [[nodiscard]] Itt task_tag() const noexcept { return task_tag_of(bhs_); }
    [[nodiscard]] Ttt transfer_tag() const noexcept { return Ttt{be32_at<20>(bhs_)}; }
    [[nodiscard]] Lun lun() const noexcept { return Lun{be64_at<8>(bhs_)}; }
    /// StatSN is the next one, and counted only when is_answer(). Section 11.19.2.
    [[nodiscard]] TargetNumbers numbers() const noexcept { return target_numbers(bhs_); }
    /// The echo; 0 unless is_answer().
    [[nodiscard]] std::uint32_t data_bytes() const noexcept { return data_segment_bytes(bhs_); }

private:
    explicit NopInView(Bhs bhs) noexcept : bhs_(bhs) {}
    Bhs bhs_;
};

}  // namespace holdfast::initiator
