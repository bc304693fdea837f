/// Why a login cannot go on, seen from our side, as one list for text, negotiation and login.
#pragma once

#include <cstdint>

namespace holdfast::initiator {

/// Each one names the paragraph of RFC 7143 that the target broke, or our own rule.
enum class LoginError : std::uint8_t {
    // The PDU.
    RefusedByTarget,          // 11.13.5: a status class other than 0; see the status.
    NotALoginResponse,        // 4.2.4: any other PDU ends the login; a Reject too (11.17.1 note 3).
    HeaderMalformed,          // See the violation.
    SegmentTooLong,           // 6.3: more than the default MaxRecvDataSegmentLength of 8192.
    WrongTaskTag,             // 11.13: one task tag for the whole login.
    VersionUnsupported,       // 11.13.2: Version-active other than 0.
    WrongStage,               // 6.3: the response is for another stage.
    TransitNotAsked,          // 11.13.6: T=1 answered T=0.
    NextStageTooFar,          // 6.3: NSG above the one we asked for.
    NewSessionWithoutHandle,  // 11.13.3: the final response of a new session needs a TSIH.
    OtherSession,             // 4.4.3: the target put the connection into another session.
    TooManyExchanges,         // 6.2: our limit, see kLoginExchangesMax.
    RedirectWithoutAddress,   // 11.13.5: no TargetAddress that section 13.8 allows here.
    WrongPortalGroup,         // 6.3.1: not the portal group that discovery promised.

    // The text. Section 6.1.
    TextTooLong,  // Our limit: 8192 bytes between two responses with C=0.
    PairWithoutEquals,
    PairWithoutEnd,  // Every pair MUST be followed by a null.
    KeyMalformed,    // Empty, above 63 characters, or not a standard-label.

    // The negotiation. Section 6.2.
    KeyRepeated,            // 6.3: redeclared or renegotiated.
    KeyWrongStage,          // 6.3, 12: not allowed in this stage.
    KeyWrongSender,         // 13: a key that only initiators send.
    ValueMalformed,         // 6.1: not of the key's type.
    ValueOutOfRange,        // 13: outside the key's range.
    ValueNotOffered,        // 6.2.1: a selection that was not in our list.
    ResultNotAllowed,       // 6.2.2: against the key's result function.
    ReservedWordProposed,   // 6.2: Reject, Irrelevant or NotUnderstood as a proposal.
    KnownKeyNotUnderstood,  // 6.2: NotUnderstood for a key of RFC 3720.
    DeclarationRejected,    // 7.12: a declared value that is not acceptable to the target.
    BurstsInconsistent,     // 13.14: FirstBurstLength MUST NOT exceed MaxBurstLength.
    DigestMissing,          // Our rule: the configuration requires a digest.
    AnswersTooLong,         // Our limit: more proposals than fit into one request.

    // Authentication. Section 12.1.
    AuthenticationMissing,  // 6.3.2: the target goes on without the method we require.
    AuthenticationRefused,  // 12.1: AuthMethod=Reject, or a method that we did not offer.
    Chap,                   // 12.1.3: see the ChapError.
};

}  // namespace holdfast::initiator
