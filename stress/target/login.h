/// The login phase of one connection, seen from the target. RFC 7143
/// sections 6.3, 11.12, 11.13, 12. Pure: a request goes in, an answer comes out; the random bytes
/// of CHAP are handed in. Limits: 64 KiB of text per request, 32 requests per login.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "stress/target/chap.h"
#include "stress/target/config.h"
#include "stress/target/negotiate.h"

namespace holdfast::target {

/// Text of one request, its pieces together.
inline constexpr std::size_t kTextBytesMax = 64 * 1024;

/// Status-Class and Status-Detail. Section 11.13.5.
enum class LoginStatus : std::uint16_t {
    Success = 0x0000,
    MovedTemporarily = 0x0101,
    MovedPermanently = 0x0102,
    InitiatorError = 0x0200,
    AuthenticationFailure = 0x0201,
    AuthorizationFailure = 0x0202,
    NotFound = 0x0203,
    TargetRemoved = 0x0204,
    UnsupportedVersion = 0x0205,
    TooManyConnections = 0x0206,
    MissingParameter = 0x0207,
    CannotInclude = 0x0208,
    SessionTypeNotSupported = 0x0209,
    SessionDoesNotExist = 0x020a,
    InvalidDuringLogin = 0x020b,
    TargetError = 0x0300,
    ServiceUnavailable = 0x0301,
    OutOfResources = 0x0302,
};

using Isid = std::array<std::byte, 6>;

/// Who logs in, to what.
struct LoginIdentity {
    std::string initiator_name;
    std::string target_name;
    bool discovery = false;
    Isid isid{};
    std::uint16_t tsih = 0;
    std::uint16_t cid = 0;
};

/// What to send back. `text` goes into the data segment.
struct LoginAnswer {
    LoginStatus status = LoginStatus::Success;
    /// T, C, CSG and NSG of the response.
    std::uint8_t flags = 0;
    std::string text{};
    /// The next phase is full feature: the caller makes the session and fills the TSIH in.
    bool complete = false;
};

/// Where a login is sent instead. An empty address: nowhere.
struct Redirect {
    std::string address{};
    bool permanent = false;
};

class Login {
public:
    Login(const TargetConfig& config, SplitMix64& random, Redirect redirect)
        : config_(config), random_(random), redirect_(std::move(redirect)) {}

    [[nodiscard]] LoginAnswer on_request(HeaderView header, Bytes data);

    [[nodiscard]] const LoginIdentity& identity() const noexcept { return identity_; }
    [[nodiscard]] const SessionParams& session_params() const noexcept {
        return negotiation_->session();
    }
    [[nodiscard]] LinkParams link_params() const noexcept { return negotiation_->link(); }

private:
    enum class Stage : std::uint8_t { Security = 0, Operational = 1, FullFeature = 3 };
    enum class ChapStep : std::uint8_t { Method, Algorithm, Response, Proved };

    [[nodiscard]] LoginStatus begin(HeaderView header, const std::vector<KeyValue>& keys);
    [[nodiscard]] LoginAnswer redirect() const;
    [[nodiscard]] std::optional<std::vector<KeyValue>> take_keys();
    [[nodiscard]] LoginStatus on_security(const std::vector<KeyValue>& keys, TextWriter& out);
    [[nodiscard]] LoginStatus choose_method(std::string_view methods, TextWriter& out);
    [[nodiscard]] LoginStatus choose_algorithm(std::string_view algorithms, TextWriter& out);
    [[nodiscard]] LoginStatus check_response(const std::vector<KeyValue>& keys, TextWriter& out);
    [[nodiscard]] LoginStatus prove_ourselves(const std::vector<KeyValue>& keys, TextWriter& out);
    void on_operational(const std::vector<KeyValue>& keys, TextWriter& out);
    [[nodiscard]] bool authentication_is_required() const;

    const TargetConfig& config_;
    SplitMix64& random_;
    Redirect redirect_;
    LoginIdentity identity_;
    std::optional<Negotiation> negotiation_;
    std::string text_;
    std::vector<std::string> keys_seen_;
    Stage stage_ = Stage::Security;
    ChapStep chap_step_ = ChapStep::Method;
    int algorithm_ = 0;
    std::uint8_t identifier_ = 0;
    Octets challenge_;
    std::uint32_t requests_ = 0;
    bool begun_ = false;
    bool declared_ = false;
    bool extra_round_due_ = false;
};

}  // namespace holdfast::target
