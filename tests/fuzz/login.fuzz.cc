/// Input: one byte of configuration, then responses: opcode choice, flags, status, TSIH, length and
/// text. The machine must end or go on, never stop the program, within its bound of exchanges.
#include <array>
#include <optional>
#include <variant>

#include "base/assert.h"
#include "initiator/login/login.h"
#include "tests/fuzz/input.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kItt = 0x01020304;

SessionConfig config_of(std::uint8_t bits) {
    SessionConfig config;
    HF_ASSERT(config.initiator_name.try_assign("iqn.2001-04.com.example:host"));
    HF_ASSERT(config.target_name.try_assign("iqn.2001-04.com.example:disk"));
    if ((bits & 1U) != 0) {
        HF_ASSERT(config.auth.to_target.name.try_assign("user"));
        HF_ASSERT(config.auth.to_target.secret.try_assign("secret-of-user"));
    }
    if ((bits & 2U) != 0) HF_ASSERT(config.auth.from_target.secret.try_assign("secret-of-disk"));
    if ((bits & 4U) != 0) config.portal_group = 1;
    if ((bits & 8U) != 0) config.wish.data_digest = DigestWish::Require;
    return config;
}

/// A response header: mostly a plausible one, so that the fuzzer gets beyond the header.
std::array<std::byte, kBhsBytes> header_of(fuzz::Input& input) {
    std::array<std::byte, kBhsBytes> header{};
    const BhsOut out{header};
    const std::uint8_t choice = input.byte();
    put_u8<0>(out, choice < 0xf0 ? std::uint8_t{0x23} : static_cast<std::uint8_t>(choice & 0x3fU));
    put_u8<1>(out, input.byte());
    put_u8<3>(out, choice == 0xe0 ? 1 : 0);
    put_u8<4>(out, choice == 0xe1 ? 1 : 0);
    put_be32<16>(out, choice == 0xe2 ? 0 : kItt);
    const std::uint8_t status = input.byte();
    put_u8<36>(out, status < 0x80 ? std::uint8_t{0} : static_cast<std::uint8_t>(status & 0x7U));
    put_u8<37>(out,
               status < 0x80 ? std::uint8_t{0} : static_cast<std::uint8_t>(status >> 3 & 0xfU));
    put_be16<14>(out, input.word());
    return header;
}

void check_done(const LoginDone& done) {
    HF_ASSERT(done.tsih.raw() != 0);
    HF_ASSERT(done.parameters.first_burst_bytes <= done.parameters.max_burst_bytes);
}

}  // namespace
}  // namespace holdfast::initiator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    fuzz::Input input{data, size};
    const std::uint8_t bits = input.byte();
    const SessionConfig config = config_of(bits);
    const NegotiatedParameters session;
    const bool is_added = (bits & 0x40U) != 0;
    const LoginIdentity identity{.tsih = Tsih{static_cast<std::uint16_t>(is_added ? 0x5a5a : 0)},
                                 .itt = Itt{kItt}};
    const bool is_discovery = !is_added && (bits & 0x10U) != 0;
    const LoginOptions options{
        .type = is_discovery ? SessionType::Discovery : SessionType::Normal,
        .start = (bits & 0x20U) != 0 ? LoginStart::Operational : LoginStart::Security,
        .offer_md5_only = (bits & 0x80U) != 0,
        .session = is_added ? &session : nullptr};
    std::array<std::byte, kChapRandomBytes> random{};
    random.fill(std::byte{0x5c});
    LoginMachine machine{config, identity, random, options};

    std::array<std::byte, kBhsBytes> request{};
    std::array<std::byte, kLoginDataBytesMax> text{};
    std::uint32_t requests = 0;
    while (!input.empty()) {
        const std::size_t used = machine.next_request(request, text);
        HF_ASSERT(++requests <= kLoginExchangesMax && used <= text.size());
        auto header = header_of(input);
        const auto segment = input.bytes(input.word() % (kLoginDataBytesMax + 2));
        put_be24<5>(BhsOut{header}, static_cast<std::uint32_t>(segment.size()));
        const LoginStep step = machine.on_response(header, segment);
        if (std::holds_alternative<LoginSendNext>(step)) continue;
        if (const auto* done = std::get_if<LoginDone>(&step)) {
            check_done(*done);
            // Nobody gets in without the proof that the configuration asks for.
            HF_ASSERT(!config.auth.from_target.is_set());
        }
        if (const auto* redirect = std::get_if<LoginRedirect>(&step)) {
            HF_ASSERT(!redirect->portals.empty());
        }
        const LoginStep after = machine.on_response(header, segment);
        HF_ASSERT(std::holds_alternative<LoginFailure>(after));
        return 0;
    }
    static_cast<void>(machine.on_transport_lost());
    return 0;
}
