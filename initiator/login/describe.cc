#include "initiator/login/describe.h"

namespace holdfast::initiator {

namespace {

std::string_view describe_status_class(unsigned status_class) noexcept {
    switch (status_class) {
    case 0: return "success";
    case 1: return "the target moved";
    case 2: return "the target refuses this initiator";
    case 3: return "the target has a problem";
    default: return "reserved status class";
    }
}

}  // namespace

std::string_view describe_login_status(std::uint16_t status) noexcept {
    switch (status) {
    case 0x0000: return "success";
    case 0x0101: return "target moved temporarily";
    case 0x0102: return "target moved permanently";
    case 0x0200: return "the target reports an initiator error";
    case 0x0201: return "authentication failure: check the CHAP names and secrets on both sides";
    case 0x0202: return "authorization failure: the target's access list has not our name";
    case 0x0203: return "target not found: this portal has no target of that name";
    case 0x0204: return "target removed: it left no forwarding address";
    case 0x0205: return "unsupported protocol version";
    case 0x0206: return "too many connections in this session";
    case 0x0207: return "missing parameter";
    case 0x0208: return "this portal cannot join the session";
    case 0x0209: return "session type not supported";
    case 0x020a: return "session does not exist";
    case 0x020b: return "invalid request during login";
    case 0x0300: return "target hardware or software error";
    case 0x0301: return "service unavailable: the target is not operational now";
    case 0x0302: return "the target is out of resources";
    default: return describe_status_class(status >> 8);
    }
}

std::string_view describe(LoginError error) noexcept {
    using enum LoginError;
    switch (error) {
    case RefusedByTarget: return "the target refused the login";
    case NotALoginResponse: return "the target sent something else than a login response";
    case HeaderMalformed: return "malformed login response";
    case SegmentTooLong: return "login response with more than 8192 bytes";
    case WrongTaskTag: return "login response with a foreign task tag";
    case VersionUnsupported: return "the target speaks another protocol version";
    case WrongStage: return "login response for another stage";
    case TransitNotAsked: return "the target ended a stage by itself";
    case NextStageTooFar: return "the target jumped over a stage";
    case NewSessionWithoutHandle: return "the target gave the new session no handle";
    case OtherSession: return "the target put the connection into another session";
    case TooManyExchanges: return "the login did not end within 64 exchanges";
    case RedirectWithoutAddress: return "redirected, but to no usable address";
    case WrongPortalGroup: return "this portal belongs to another portal group";
    case TextTooLong: return "login text longer than 8192 bytes";
    case PairWithoutEquals: return "login text without '='";
    case PairWithoutEnd: return "login text that ends within a pair";
    case KeyMalformed: return "malformed key name";
    case KeyRepeated: return "the target sent a key twice";
    case KeyWrongStage: return "key in a stage where it is not allowed";
    case KeyWrongSender: return "key that only initiators may send";
    case ValueMalformed: return "malformed value";
    case ValueOutOfRange: return "value out of range";
    case ValueNotOffered: return "the target chose a value that was not offered";
    case ResultNotAllowed: return "the target's choice breaks the key's rule";
    case ReservedWordProposed: return "reserved word used as a proposal";
    case KnownKeyNotUnderstood: return "the target does not understand a mandatory key";
    case DeclarationRejected: return "the target rejected what we declared";
    case BurstsInconsistent: return "FirstBurstLength above MaxBurstLength";
    case DigestMissing: return "the target does not support the digest that is required";
    case AnswersTooLong: return "the target proposed more keys than can be answered";
    case AuthenticationMissing: return "the target skips the authentication that is required";
    case AuthenticationRefused: return "no common authentication method";
    case Chap: return "CHAP failed";
    }
    return "unknown error";
}

std::string_view describe(ChapError error) noexcept {
    using enum ChapError;
    switch (error) {
    case KeyMissing: return "the target left out a CHAP key";
    case KeyUnexpected: return "the target sent a CHAP key out of turn";
    case AlgorithmNotOffered: return "no common CHAP algorithm";
    case IdentifierMalformed: return "malformed CHAP identifier";
    case ChallengeMalformed: return "malformed CHAP challenge";
    case ChallengeReflected: return "the target sent our own challenge back: a reflection attack";
    case ResponseMalformed: return "malformed CHAP response";
    case ResponseWrong: return "the target does not know its secret";
    case ResponseReflected: return "the target answered with our own secret: use two secrets";
    case NameTooLong: return "CHAP name longer than 255 bytes";
    case NameWrong: return "the target authenticates under another name than configured";
    }
    return "unknown error";
}

std::string_view describe(ChapConfigError error) noexcept {
    using enum ChapConfigError;
    switch (error) {
    case SameSecretBothWays: return "the secrets of the two directions must differ";
    case MutualWithoutOneWay: return "a target secret needs an initiator secret too";
    case SecretTooShort: return "secrets below 12 bytes can be guessed";
    }
    return "unknown error";
}

std::string_view describe(NameError error) noexcept {
    using enum NameError;
    switch (error) {
    case TooLong: return "name longer than 223 bytes";
    case UnknownType: return "name must begin with iqn., eui. or naa.";
    case BadDate: return "iqn. must be followed by a date yyyy-mm";
    case BadAuthority: return "the date must be followed by a reversed domain name";
    case BadDigits: return "eui. needs 16, naa. 16 or 32 hexadecimal digits";
    case BadCharacter: return "character that no iSCSI name may contain";
    case UpperCase: return "upper-case letter";
    }
    return "unknown error";
}

}  // namespace holdfast::initiator
