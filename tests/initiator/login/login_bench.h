/// A login machine with a target that a test plays by hand.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "initiator/login/login.h"
#include "tests/initiator/login/texts.h"
#include "tests/initiator/pdu/headers.h"

namespace holdfast::initiator::testing {

inline constexpr std::uint32_t kLoginItt = 0x1234;

/// A configuration that does not lean on defaults where the tests look.
inline SessionConfig plain_config() {
    SessionConfig config;
    EXPECT_TRUE(config.initiator_name.try_assign("iqn.2001-04.com.example:host"));
    EXPECT_TRUE(config.target_name.try_assign("iqn.2001-04.com.example:disk"));
    config.isid = Isid{0x8000'0102'0304ULL};
    config.wish.max_burst_bytes = 1048576;
    config.wish.first_burst_bytes = 262144;
    return config;
}

inline SessionConfig chap_config(bool mutual) {
    SessionConfig config = plain_config();
    EXPECT_TRUE(config.auth.to_target.name.try_assign("user"));
    EXPECT_TRUE(config.auth.to_target.secret.try_assign("secret-of-user"));
    if (mutual) {
        EXPECT_TRUE(config.auth.from_target.name.try_assign("disk"));
        EXPECT_TRUE(config.auth.from_target.secret.try_assign("secret-of-disk"));
    }
    return config;
}

inline LoginIdentity plain_identity(const SessionConfig& config) {
    return {.isid = config.isid,
            .tsih = Tsih{0},
            .cid = Cid{1},
            .itt = Itt{kLoginItt},
            .cmd_sn = CmdSn{77},
            .expected_stat_sn = StatSn{0}};
}

class LoginBench {
public:
    explicit LoginBench(const SessionConfig& config = plain_config(),
                        const LoginOptions& options = {})
        : LoginBench(config, options, plain_identity(config)) {}
    LoginBench(const SessionConfig& config, const LoginOptions& options,
               const LoginIdentity& identity)
        : config_(config) {
        std::array<std::byte, kChapRandomBytes> random{};
        for (std::size_t i = 0; i < random.size(); ++i) random[i] = static_cast<std::byte>(i + 1);
        machine_ = std::make_unique<LoginMachine>(config_, identity, random, options);
    }

    /// Takes the next request out of the machine.
    LoginBench& send() {
        std::vector<std::byte> data(kLoginDataBytesMax, std::byte{0xee});
        const std::size_t bytes = machine_->next_request(request_.out(), data);
        text_ = as_text(std::span{data}.first(bytes));
        EXPECT_EQ(request_.at32(4), bytes) << "TotalAHSLength is 0";
        return *this;
    }
    /// Answers with these flags and pairs.
    LoginStep answer(std::uint8_t flags, std::initializer_list<std::string_view> pairs = {}) {
        return answer_raw(success(flags), text_of(pairs));
    }
    LoginStep answer_raw(Header header, std::string_view text) {
        header.data(static_cast<std::uint32_t>(text.size()));
        return machine_->on_response(header.bhs(), bytes_of(text));
    }
    /// A good response header; stat_sn counts up.
    Header success(std::uint8_t flags) {
        Header header = login_response().set8(1, flags).itt(kLoginItt).set32(24, stat_sn_++);
        header.set32(28, 77).set32(32, 77 + 31);
        const bool is_final = (flags & 0x83U) == 0x83U;
        if (is_final) header.set16(14, 0x5a5a);
        return header;
    }
    Header refusal(std::uint16_t status) { return success(0).set16(36, status); }

    [[nodiscard]] const Header& request() const { return request_; }
    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] std::string value(std::string_view key) const { return value_in(text_, key); }
    [[nodiscard]] bool asks_transit() const { return (request_.at8(1) & 0x80U) != 0; }
    [[nodiscard]] LoginMachine& machine() { return *machine_; }
    void set_stat_sn(std::uint32_t stat_sn) { stat_sn_ = stat_sn; }

private:
    SessionConfig config_;
    std::unique_ptr<LoginMachine> machine_;
    Header request_{0};
    std::string text_;
    std::uint32_t stat_sn_ = 100;
};

// Flags of a response: T, C, current and next stage.
inline constexpr std::uint8_t kStaySecurity = 0x00;
inline constexpr std::uint8_t kToOperational = 0x81;
inline constexpr std::uint8_t kSecurityToFull = 0x83;
inline constexpr std::uint8_t kStayOperational = 0x04;
inline constexpr std::uint8_t kToFull = 0x87;
inline constexpr std::uint8_t kContinueSecurity = 0x40;
inline constexpr std::uint8_t kContinueOperational = 0x44;

inline bool goes_on(const LoginStep& step) {
    return std::holds_alternative<LoginSendNext>(step);
}
/// The error; a test failure when the step is another one.
inline LoginFailure failure_of(const LoginStep& step) {
    const auto* failure = std::get_if<LoginFailure>(&step);
    EXPECT_NE(failure, nullptr);
    return failure != nullptr ? *failure : LoginFailure{.error = LoginError::AnswersTooLong};
}
inline LoginError error_of(const LoginStep& step) {
    return failure_of(step).error;
}
inline LoginDone done_of(const LoginStep& step) {
    const auto* done = std::get_if<LoginDone>(&step);
    EXPECT_NE(done, nullptr);
    return done != nullptr ? *done : LoginDone{};
}

}  // namespace holdfast::initiator::testing
