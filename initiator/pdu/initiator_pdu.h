/// Builders of everything an initiator may send. RFC 7143 sections 11.3, 11.5, 11.7, 11.10, 11.12,
/// 11.14, 11.16, 11.18.
///
/// Each struct holds what may vary; write() fills all 48 bytes, with every reserved bit and field 0
/// (PDU-02), no AHS (PDU-10) and the constants of section 11. Combinations that the RFC forbids are
/// our own bug and asserted. The header digest is computed after the last patch (DIG-15).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "initiator/pdu/opcode.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// Whether a request goes in command order and takes a CmdSN, or around it and only shows the
/// current one. Section 4.2.2.1.
enum class Delivery : std::uint8_t { Numbered, Immediate };

/// Task attribute. Section 11.3.1.
enum class TaskAttribute : std::uint8_t {
    Untagged = 0,
    Simple = 1,
    Ordered = 2,
    HeadOfQueue = 3,
    Aca = 4,
};

/// Which way data moves. Both at once would need an AHS, which we never send (PDU-14).
enum class DataDirection : std::uint8_t { None, Read, Write };

/// A command descriptor block of at most 16 bytes, the rest 0 (TSK-02, PDU-13).
using Cdb = std::array<std::byte, 16>;

/// SCSI Command. Section 11.3.
struct ScsiCommandHeader {
    Delivery delivery = Delivery::Numbered;
    /// F: no unsolicited Data-Out follows. May be false only for a write.
    bool is_final = true;
    DataDirection direction = DataDirection::None;
    TaskAttribute attribute = TaskAttribute::Simple;
    Lun lun{};
    Itt itt = kIttReserved;
    std::uint32_t expected_bytes = 0;   ///< Expected Data Transfer Length.
    std::uint32_t immediate_bytes = 0;  ///< Data in this PDU; at most expected_bytes, writes only.
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};
    Cdb cdb{};
};
void write(BhsOut out, const ScsiCommandHeader& pdu) noexcept;

/// Task management functions; 9 to 12 belong to RFC 7144 and are not sent. Section 11.5.1.
enum class TaskFunction : std::uint8_t {
    AbortTask = 1,
    AbortTaskSet = 2,
    ClearAca = 3,
    ClearTaskSet = 4,
    LogicalUnitReset = 5,
    TargetWarmReset = 6,
    TargetColdReset = 7,
    TaskReassign = 8,
};

/// Task Management Function Request. Section 11.5. Fields that the function does not use are
/// written as section 11.5.3 to 11.5.6 ask, whatever stands here.
struct TaskManagementHeader {
    Delivery delivery = Delivery::Immediate;
    TaskFunction function = TaskFunction::AbortTask;
    Lun lun{};  ///< Functions 1 to 5.
    Itt itt = kIttReserved;
    Itt referenced_itt = kIttReserved;  ///< AbortTask, TaskReassign.
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};
    CmdSn referenced_cmd_sn{};  ///< AbortTask; the same as cmd_sn if it was immediate.
    DataSn expected_data_sn{};  ///< TaskReassign.
};
void write(BhsOut out, const TaskManagementHeader& pdu) noexcept;

/// SCSI Data-Out. Section 11.7. Takes no CmdSN.
struct DataOutHeader {
    bool is_final = false;  ///< Last of the unsolicited data, or of what one R2T asked for.
    Lun lun{};              ///< Copied from the R2T; written only with a transfer tag.
    Itt itt = kIttReserved;
    Ttt ttt = kTttReserved;  ///< Reserved: unsolicited.
    StatSn expected_stat_sn{};
    DataSn data_sn{};
    std::uint32_t buffer_offset = 0;
    std::uint32_t data_bytes = 0;
};
void write(BhsOut out, const DataOutHeader& pdu) noexcept;

/// Text Request. Section 11.10.
struct TextRequestHeader {
    Delivery delivery = Delivery::Numbered;
    bool is_final = true;
    bool is_continued = false;  ///< Never together with is_final.
    Lun lun{};                  ///< Copied with the transfer tag, else written as 0.
    Itt itt = kIttReserved;
    Ttt ttt = kTttReserved;  ///< Reserved: a new negotiation.
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};
    std::uint32_t data_bytes = 0;
};
void write(BhsOut out, const TextRequestHeader& pdu) noexcept;

/// Login Request. Section 11.12. Always immediate, versions always 0.
struct LoginRequestHeader {
    bool is_transit = false;
    bool is_continued = false;  ///< Never together with is_transit.
    LoginStage current_stage = LoginStage::Security;
    LoginStage next_stage = LoginStage::FullFeature;  ///< Written only with is_transit.
    Isid isid{};
    Tsih tsih{};
    Itt itt{};
    Cid cid{};
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};
    std::uint32_t data_bytes = 0;
};
void write(BhsOut out, const LoginRequestHeader& pdu) noexcept;

/// Why we log out. Section 11.14.1.
enum class LogoutReason : std::uint8_t { CloseSession = 0, CloseConnection = 1, Recovery = 2 };

/// Logout Request. Section 11.14.
struct LogoutRequestHeader {
    Delivery delivery = Delivery::Immediate;
    LogoutReason reason = LogoutReason::CloseSession;
    Itt itt = kIttReserved;
    Cid cid{};  ///< Written as 0 with CloseSession.
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};  ///< The last one of the connection that is closed.
};
void write(BhsOut out, const LogoutRequestHeader& pdu) noexcept;

/// What a SNACK asks for. Section 11.16.1.
enum class SnackType : std::uint8_t { DataOrR2t = 0, Status = 1, DataAck = 2, ResegmentedData = 3 };

/// SNACK Request. Section 11.16. Takes no CmdSN. Fields that the type fixes are written as sections
/// 11.16.4 to 11.16.7 ask.
struct SnackHeader {
    SnackType type = SnackType::DataOrR2t;
    Lun lun{};               ///< DataAck: from the Data-In.
    Itt itt = kIttReserved;  ///< DataOrR2t, ResegmentedData.
    Ttt ttt = kTttReserved;  ///< DataAck: from the Data-In.
    SnackTag snack_tag{};    ///< ResegmentedData: neither 0 nor 0xffffffff.
    StatSn expected_stat_sn{};
    std::uint32_t first = 0;  ///< BegRun; written as 0 for ResegmentedData.
    std::uint32_t count = 0;  ///< RunLength, 0: all from `first`; only DataOrR2t and Status.
};
void write(BhsOut out, const SnackHeader& pdu) noexcept;

/// NOP-Out. Section 11.18. A ping has a task tag; an answer to a NOP-In has its transfer tag and
/// LUN; neither has both, and without a task tag it is immediate.
struct NopOutHeader {
    Delivery delivery = Delivery::Immediate;
    Lun lun{};  ///< With a transfer tag: from the NOP-In. Event 5: from the message.
    Itt itt = kIttReserved;
    Ttt ttt = kTttReserved;
    CmdSn cmd_sn{};
    StatSn expected_stat_sn{};
    std::uint32_t data_bytes = 0;
};
void write(BhsOut out, const NopOutHeader& pdu) noexcept;

/// Puts the newest ExpStatSN into a header that waited; every PDU of an initiator has it at the
/// same place. Recompute the header digest afterwards.
inline void patch_expected_stat_sn(BhsOut out, StatSn expected) noexcept {
    put_be32<28>(out, expected.raw());
}

/// Puts a CmdSN into a header that waited: of a numbered request when it takes its number, of an
/// immediate one to show the current number. Not for Data-Out and SNACK, which have none.
void patch_cmd_sn(BhsOut out, CmdSn cmd_sn) noexcept;

}  // namespace holdfast::initiator
