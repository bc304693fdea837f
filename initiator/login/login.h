/// The login phase of one connection, as a pure state machine. RFC 7143 sections 6.3 and 12.
///
///   next_request() -> send -> on_response() -> SendNext: again; else the login is over.
///
/// Stages: security (CHAP, or AuthMethod=None), then operational, then full feature phase; or
/// operational at once (LoginStart::Operational). Timers: none here; the caller bounds the time of
/// a login (TimerConfig::login) and closes the connection after every ending but Done.
/// Limits: kLoginExchangesMax requests, 8192 bytes of text per exchange, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "base/fixed_vector.h"
#include "initiator/login/chap.h"
#include "initiator/login/key.h"
#include "initiator/login/login_error.h"
#include "initiator/login/negotiation.h"
#include "initiator/login/parameters.h"
#include "initiator/login/text.h"
#include "initiator/pdu/initiator_pdu.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/pdu/types.h"
#include "initiator/pdu/violation.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

/// The default MaxRecvDataSegmentLength, in force both ways until login ends. Section 6.3.
inline constexpr std::size_t kLoginDataBytesMax = 8192;
/// Requests in one login, continuations included. Section 6.2 asks for at least six exchanges.
inline constexpr std::uint32_t kLoginExchangesMax = 64;

/// The first stage. Section 6.3.1.
enum class LoginStart : std::uint8_t {
    Security,     ///< Offer an authentication method: CHAP when configured, else None.
    Operational,  ///< Skip security; a target that insists answers with status 0201.
};

/// What identifies the connection; the same in all requests of a login. Sections 11.12.5
/// to 11.12.9.
struct LoginIdentity {
    Isid isid{};
    Tsih tsih{};  ///< 0: a new session.
    Cid cid{};
    Itt itt{};
    CmdSn cmd_sn{};             ///< Shown, not consumed.
    StatSn expected_stat_sn{};  ///< Of the old connection when this login reinstates it, else 0.
};

/// What varies from login to login besides the identity.
struct LoginOptions {
    SessionType type = SessionType::Normal;
    LoginStart start = LoginStart::Security;
    /// Offer CHAP_A=5 alone: the one retry after LoginFailure::retry_with_md5_only.
    bool offer_md5_only = false;
    /// A login that adds a connection: what the session agreed; borrowed until the login is over.
    const NegotiatedParameters* session = nullptr;
};

/// Send next_request().
struct LoginSendNext {};

/// Full feature phase. The first PDU afterwards uses the parameters, digests included.
struct LoginDone {
    NegotiatedParameters parameters{};
    Tsih tsih{};
    StatSn expected_stat_sn{};  ///< The StatSN of the final response plus one.
    CmdSn expected_cmd_sn{};    ///< With max_cmd_sn: the command window to start with.
    CmdSn max_cmd_sn{};
};

/// The target moved. Close the connection; log in at one of the portals. Section 11.13.5.
struct LoginRedirect {
    FixedVector<Portal, 4> portals{};  ///< At least one.
    bool is_permanent = false;         ///< 0102: may be kept; else for this login only.
};

/// The login is over, the connection must be closed.
struct LoginFailure {
    LoginError error = LoginError::RefusedByTarget;
    std::uint16_t status = 0;    ///< Status class << 8 | detail, with RefusedByTarget.
    Violation violation{};       ///< With HeaderMalformed.
    ChapError chap{};            ///< With Chap.
    KeyId key = KeyId::Unknown;  ///< The key at fault, if one is.
    /// The target may be one that chokes on a list of CHAP algorithms: one more login with
    /// LoginOptions::offer_md5_only is worth the try.
    bool retry_with_md5_only = false;
};

/// Asking again will not change the answer: all but a target that is busy. RFC 7143
/// section 11.13.5.
[[nodiscard]] constexpr bool is_final(const LoginFailure& failure) noexcept {
    constexpr unsigned kTargetErrorClass = 3;
    return failure.error != LoginError::RefusedByTarget || failure.status >> 8 != kTargetErrorClass;
}

using LoginStep = std::variant<LoginSendNext, LoginDone, LoginRedirect, LoginFailure>;

/// See the file comment. Borrows the configuration for its life.
class LoginMachine {
public:
    /// `random`: fresh bytes from the system's generator, never used twice.
    LoginMachine(const SessionConfig& config, const LoginIdentity& identity,
                 std::span<const std::byte, kChapRandomBytes> random,
                 const LoginOptions& options) noexcept;
    LoginMachine(const LoginMachine&) = delete;
    LoginMachine& operator=(const LoginMachine&) = delete;
    ~LoginMachine();

    /// Writes the next request: the header, and its text to the front of `data`, which holds at
    /// least kLoginDataBytesMax. Returns the length of the text, without padding. Call once at the
    /// start and once after each LoginSendNext; one request is outstanding at most (LOG-04).
    [[nodiscard]] std::size_t next_request(BhsOut header, std::span<std::byte> data) noexcept;

    /// Any PDU that came. `data` is its data segment without padding. After another step than
    /// LoginSendNext the machine is over.
    [[nodiscard]] LoginStep on_response(Bhs header, std::span<const std::byte> data) noexcept;

    /// The connection broke instead of an answer: true when a retry with MD5 alone is worth a try,
    /// as after LoginFailure::retry_with_md5_only.
    [[nodiscard]] bool on_transport_lost() const noexcept { return may_retry_with_md5_only(); }

    /// How the target answered each key, for notices; complete when the login is done.
    [[nodiscard]] const Negotiation& negotiation() const noexcept { return negotiation_; }

private:
    enum class State : std::uint8_t { RequestDue, AwaitingResponse, Over };
    /// What the security stage waits for. Section 12.1.3.
    enum class Security : std::uint8_t {
        MethodOffered,      // AuthMethod is due.
        MethodChosen,       // CHAP, or None; the step that brought the answer is not over.
        AlgorithmsOffered,  // CHAP_A, CHAP_I and CHAP_C are due.
        ResponseSent,       // Mutual: CHAP_N and CHAP_R are due.
        Finished,
    };

    /// Also with a secret of the target's alone, which judge_secrets() refuses: a login then fails
    /// instead of going on unproven.
    [[nodiscard]] bool requires_chap() const noexcept {
        return config_.auth.to_target.is_set() || config_.auth.from_target.is_set();
    }
    [[nodiscard]] bool is_leading() const noexcept { return identity_.tsih == Tsih{}; }
    [[nodiscard]] LoginStage wanted_stage() const noexcept;
    [[nodiscard]] bool may_retry_with_md5_only() const noexcept;
    void declare(KeyId id, std::string_view value) noexcept;
    void write_first_text() noexcept;

    [[nodiscard]] LoginStep judge(Bhs header, std::span<const std::byte> data) noexcept;
    [[nodiscard]] LoginStep on_refusal(const LoginResponseView& response,
                                       std::span<const std::byte> data) noexcept;
    [[nodiscard]] LoginStep on_redirect(bool is_permanent,
                                        std::span<const std::byte> data) noexcept;
    [[nodiscard]] LoginStep on_success(const LoginResponseView& response,
                                       std::span<const std::byte> data) noexcept;
    [[nodiscard]] LoginStep on_final(const LoginResponseView& response) noexcept;
    [[nodiscard]] LoginStep send_next() noexcept;

    [[nodiscard]] std::optional<LoginError> judge_header(
        const LoginResponseView& response) const noexcept;
    [[nodiscard]] std::optional<LoginFailure> take_text(std::string_view text) noexcept;
    [[nodiscard]] std::optional<LoginFailure> take_pair(const TextPair& pair) noexcept;
    [[nodiscard]] std::optional<LoginError> take_auth_method(std::string_view value) noexcept;
    [[nodiscard]] std::optional<LoginFailure> end_security_step() noexcept;
    [[nodiscard]] LoginFailure failure(LoginError error, KeyId key = KeyId::Unknown) const noexcept;
    [[nodiscard]] LoginFailure chap_failure(ChapError error, KeyId key) const noexcept;

    const SessionConfig& config_;
    const LoginIdentity identity_;
    const LoginOptions options_;
    State state_ = State::RequestDue;
    LoginStage stage_ = LoginStage::Security;
    Security security_ = Security::MethodOffered;
    bool wants_transit_ = false;        ///< T of our requests from now on (LOG-14).
    bool is_continuation_due_ = false;  ///< The last response had C=1: an empty request follows.
    std::uint32_t requests_ = 0;
    StatSn expected_stat_sn_;
    Negotiation negotiation_;
    ChapExchange chap_;
    JoinedText received_;
    TextOut out_;
};

}  // namespace holdfast::initiator
