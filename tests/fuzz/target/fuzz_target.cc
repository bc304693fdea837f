/// Hostile bytes against the whole target: the first byte chooses whether a login comes first and
/// whether digests are on; the rest is cut into reads and pauses by its own bytes.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "stress/target/target.h"

namespace holdfast::target {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kLoginText =
    "InitiatorName=iqn.2026-01.net.example:fuzz\0TargetName=iqn.2026-01.net.holdfast:ram\0"
    "InitialR2T=No\0"sv;

std::vector<std::byte> login_pdu() {
    Header header = start_header(Opcode::Login);
    const std::span out{header};
    put_u8<at::kOpcode>(out, 0x43);
    put_u8<at::kFlags>(out, 0x87);
    put_be24<at::kDataLength>(out, static_cast<std::uint32_t>(kLoginText.size()));
    std::vector<std::byte> bytes{header.begin(), header.end()};
    const auto text = std::as_bytes(std::span{kLoginText});
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.resize(kHeaderBytes + padded(kLoginText.size()));
    return bytes;
}

void drain(Target& target, LinkId link) {
    std::array<Bytes, 8> pieces;
    while (const std::size_t used = target.tx_gather(link, pieces)) {
        std::size_t bytes = 0;
        for (const Bytes piece : std::span{pieces}.first(used)) bytes += piece.size();
        target.tx_sent(link, bytes);
    }
}

void run(Bytes input) {
    if (input.empty()) return;
    const auto mode = std::to_integer<unsigned>(input[0]);
    input = input.subspan(1);
    TargetConfig config;
    config.luns = {LunConfig{.id = 0, .size_bytes = 1U << 20, .cache = true, .thin = true}};
    config.operational.max_recv_data_segment_bytes = 8192;
    config.unit_attention_on_login = false;
    if ((mode & 2U) != 0) config.auth.initiators = {{"user", "secret"}};
    std::vector<Storage> storages;
    storages.push_back(std::move(*Storage::anonymous(1U << 20)));
    Instant now = Instant::from_ns(1);
    Target target{config, std::move(storages), now};
    const LinkId link = target.accept(now, "127.0.0.1:3260");
    if ((mode & 1U) != 0) target.receive(link, login_pdu(), now);
    while (!input.empty() && target.wish(link) == LinkWish::Keep) {
        const auto wanted = std::size_t{std::to_integer<unsigned>(input[0])} + 1;
        input = input.subspan(1);
        const auto part = input.first(std::min(wanted, input.size()));
        target.receive(link, part, now);
        input = input.subspan(part.size());
        drain(target, link);
        now = now + Duration::from_ms(1);
        target.wake(now);
    }
    target.lost(link, now);
}

}  // namespace
}  // namespace holdfast::target

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    holdfast::target::run(std::as_bytes(std::span{data, size}));
    return 0;
}
