/// What a peer can do wrong, as one list for parsers and for the session.
#pragma once

#include <cstdint>

namespace holdfast::initiator {

/// What a peer did wrong. Each one names the paragraph of RFC 7143 that it broke; none is our bug.
/// The first group is decided by one header alone (the parse functions of target_pdu.h); the second
/// needs the state of the session and is decided there.
enum class Violation : std::uint8_t {
    // One header.
    OpcodeUnassigned,            // 11.2.1.2: not an opcode that a target may send.
    OpcodeUnexpected,            // 4.2.4, 11.2.1.2: a target's opcode, but not the one due here.
    AhsInResponse,               // 11.2: response PDUs do not have AH segments.
    DataNotAllowed,              // 11.6.2, 11.8.1, 11.15.2: DataSegmentLength MUST be 0.
    TaskTagReserved,             // 11.2.1.8: 0xffffffff is not the tag of a task.
    NopInBothTags,               // 7.7, 11.19: an answer to our ping MUST have TTT 0xffffffff.
    NopInUnsolicitedData,        // 11.19: DataSegmentLength MUST be 0 without a task tag.
    ResponseCodeReserved,        // 11.4.3: 0x02..0x7f.
    ResidualBothWays,            // 11.4.1: U and O, or u and o, are mutually exclusive.
    CheckConditionWithoutSense,  // 7.7, 11.4.7: the data segment MUST contain sense data.
    TaskResponseReserved,        // 11.6.1: 8..254.
    LoginStatusReserved,         // 11.13.5: class above 3, or a detail with class 0.
    LoginTransitWithContinue,    // 11.13.7: C=1 MUST have T=0.
    LoginStageReserved,          // 11.12.3: stage 2, or current stage 3.
    LoginStageBackwards,         // 6.3: the next stage MUST lie beyond the current one.
    TextFinalWithContinue,       // 11.11.2: C=1 MUST have F=0.
    TextPartialWithoutTag,       // 11.11.1: F=0 MUST have a transfer tag.
    DataInStatusWithoutFinal,    // 11.7.3: S=1 requires F=1.
    DataInStatusNotGood,         // 11.7.3: an error MUST be sent in a SCSI Response PDU.
    DataInOffsetWraps,           // 11.7.6: offset and length exceed any transfer length.
    LogoutResponseReserved,      // 11.15.1: 4..255.
    R2tWithoutTransferTag,       // 11.8.5: 0xffffffff is reserved.
    R2tWantsNothing,             // 11.8.4: Desired Data Transfer Length MUST NOT be 0.
    R2tOffsetWraps,              // 11.8.4: offset and length exceed any transfer length.
    AsyncEventUnassigned,        // 11.9.1: 6..247.
    RejectReasonReserved,        // 11.17.1: 0x00, 0x01, 0x0d..0xff.

    // The session's state.
    SegmentTooLong,             // 13.12: above the MaxRecvDataSegmentLength that we declared.
    TaskTagUnknown,             // 4.2.5.3: no such task, or one of an earlier generation.
    TaskWrongConnection,        // 4.2.5.1: the task is allegiant to another connection.
    TaskWrongKind,              // 4.2.5.3: this PDU does not belong to a task of that kind.
    LunMismatch,                // 4.2.5.3, 11.8: not the task's LUN.
    StatusNumberWrong,          // 4.2.2.2, 7.9: StatSN gap or jump.
    DataNumberWrong,            // 11.7.5, 7.9: DataSN gap, replay or ExpDataSN mismatch.
    R2tNumberWrong,             // 11.8.2, 7.9: R2TSN gap or replay.
    DataInForWrite,             // 11.3.1: the command expects no input.
    DataInBeyondTransfer,       // 11.7.6: more than the expected data transfer length.
    DataInOutOfOrder,           // 11.7.6, 13.18, 13.19: order or overlap against what was agreed.
    DataInBeforeStatusMissing,  // 7.9: GOOD status, but bytes are missing.
    R2tForRead,                 // 11.8: the command sends no output.
    R2tBeyondTransfer,          // 11.8.4: more than the expected data transfer length.
    R2tTooLong,                 // 11.8.4: more than MaxBurstLength.
    R2tTooMany,                 // 11.8: more than MaxOutstandingR2T.
    R2tOutOfOrder,              // 11.8, 13.19: order or overlap against what was agreed.
    ResidualImpossible,         // 11.4.5: underflow larger than the expected length.
    PingEchoWrong,              // 11.18.3: the echo is not a prefix of what we sent.
    SenseMalformed,             // 11.4.7: SenseLength and the data segment disagree.
    TaskResponseNotNegotiated,  // RFC 7144 section 6.2: response 7 without iSCSIProtocolLevel 2.
    AsyncEventNotNegotiated,    // 11.9.1: event 5 without FastAbort.
    TextAnswerUnexpected,       // 11.11.1: F=1 answered a request with F=0, or no request is out.
    PhaseWrong,                 // 4.2.4: this PDU has no place in this phase of the connection.
};

}  // namespace holdfast::initiator
