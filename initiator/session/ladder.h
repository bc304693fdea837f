/// Task management when a command is not answered in time. RFC 7143
/// sections 4.2.3, 7.11, 11.5, 11.6.
///
/// ABORT TASK, then LOGICAL UNIT RESET, then TARGET WARM RESET, then the session is dropped. The
/// two resets hurt whoever else uses the unit or the target, so they are tried only by a session
/// that owns its unit alone. Pure; timers: the caller's, one deadline for each rung.
#pragma once

#include <cstdint>

#include "initiator/pdu/initiator_pdu.h"
#include "initiator/pdu/target_pdu.h"

namespace holdfast::initiator {

enum class Rung : std::uint8_t { None, AbortTask, UnitReset, TargetReset };

enum class RungEvent : std::uint8_t {
    CommandTimedOut,
    Complete,      ///< Response 0.
    TaskUnknown,   ///< Response 1.
    UnitUnknown,   ///< Response 2.
    Refused,       ///< Responses 3, 4, 5, 6, 255.
    NoAnswer,      ///< The rung's own time-out.
    TaskAnswered,  ///< The command's own answer came first; the rung still waits for its response.
};

/// What the caller does about its tasks. Requests that are sent again take a new task tag and a new
/// CmdSN; whatever arrives for the old tag is stale.
enum class RungAction : std::uint8_t {
    None,
    SendRequest,  ///< Of the new rung.
    RetryTask,    ///< The aborted one: the target says that it will not be executed any more.
    RetryAll,     ///< Everything that was outstanding: the reset ended it.
    DropSession,
};

struct RungStep {
    Rung to{};
    RungAction action{};
    constexpr bool operator==(const RungStep&) const noexcept = default;
};

/// One step of the ladder. Events without meaning on a rung change nothing.
[[nodiscard]] constexpr RungStep step(Rung at, RungEvent event, bool owns_unit_alone) noexcept {
    using enum RungEvent;
    const RungStep drop{Rung::None, RungAction::DropSession};
    switch (at) {
    case Rung::None:
        if (event != CommandTimedOut) return {Rung::None, RungAction::None};
        return {Rung::AbortTask, RungAction::SendRequest};
    case Rung::AbortTask:
        if (event == Complete) return {Rung::None, RungAction::RetryTask};
        // The target has no such task, and responses come in order: the answer is lost (7.11).
        if (event == TaskUnknown || event == UnitUnknown) return drop;
        if (event != Refused && event != NoAnswer) return {at, RungAction::None};
        return owns_unit_alone ? RungStep{Rung::UnitReset, RungAction::SendRequest} : drop;
    case Rung::UnitReset:
        if (event == Complete) return {Rung::None, RungAction::RetryAll};
        if (event == UnitUnknown) return drop;
        if (event == TaskUnknown || event == Refused || event == NoAnswer) {
            return {Rung::TargetReset, RungAction::SendRequest};
        }
        return {at, RungAction::None};
    case Rung::TargetReset:
        if (event == Complete) return {Rung::None, RungAction::RetryAll};
        if (event == CommandTimedOut || event == TaskAnswered) return {at, RungAction::None};
        return drop;
    }
    return drop;
}

[[nodiscard]] constexpr TaskFunction function_of(Rung rung) noexcept {
    if (rung == Rung::AbortTask) return TaskFunction::AbortTask;
    if (rung == Rung::UnitReset) return TaskFunction::LogicalUnitReset;
    return TaskFunction::TargetWarmReset;
}

[[nodiscard]] constexpr RungEvent event_of(TaskResponse response) noexcept {
    switch (response) {
    case TaskResponse::Complete:
    case TaskResponse::FunctionSucceeded: return RungEvent::Complete;
    case TaskResponse::TaskDoesNotExist: return RungEvent::TaskUnknown;
    case TaskResponse::LunDoesNotExist: return RungEvent::UnitUnknown;
    case TaskResponse::TaskStillAllegiant:
    case TaskResponse::ReassignmentNotSupported:
    case TaskResponse::FunctionNotSupported:
    case TaskResponse::AuthorizationFailed:
    case TaskResponse::FunctionRejected: return RungEvent::Refused;
    }
    return RungEvent::Refused;
}

}  // namespace holdfast::initiator
