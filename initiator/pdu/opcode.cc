#include "initiator/pdu/opcode.h"

namespace holdfast::initiator {

std::expected<TargetOpcode, Violation> opcode_of(Bhs bhs) noexcept {
    using enum TargetOpcode;
    const auto opcode = static_cast<TargetOpcode>(u8_at<0>(bhs) & 0x3fU);
    switch (opcode) {
    case NopIn:
    case ScsiResponse:
    case TaskManagementResponse:
    case LoginResponse:
    case TextResponse:
    case DataIn:
    case LogoutResponse:
    case ReadyToTransfer:
    case AsyncMessage:
    case Reject:
        if (ahs_bytes(bhs) != 0) return std::unexpected{Violation::AhsInResponse};
        return opcode;
    }
    return std::unexpected{Violation::OpcodeUnassigned};
}

}  // namespace holdfast::initiator
