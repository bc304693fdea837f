#include "tests/stress/target/played_initiator.h"

#include <algorithm>
#include <array>

namespace holdfast::target {
namespace {

constexpr std::size_t kDataBytesMax = 1U << 20;

std::vector<Storage> storages_of(const TargetConfig& config) {
    std::vector<Storage> storages;
    for (const auto& lun : config.luns)
        storages.push_back(std::move(*Storage::anonymous(lun.size_bytes)));
    return storages;
}

}  // namespace

std::vector<int> Seen::sense() const {
    if (data.size() < 20) return {};
    return {std::to_integer<int>(data[4]) & 0x0f, std::to_integer<int>(data[14]),
            std::to_integer<int>(data[15])};
}

TargetConfig small_config() {
    TargetConfig config;
    config.luns = {LunConfig{.id = 0, .size_bytes = 16U << 20, .cache = true, .thin = true}};
    config.unit_attention_on_login = false;
    return config;
}

World::World(TargetConfig config) : target(config, storages_of(config), now) {}

void World::pass(Duration time) {
    const Instant end = now + time;
    while (target.next_wake() <= end) {
        now = std::max(now, target.next_wake());
        target.wake(now);
    }
    now = end;
    target.wake(now);
}

void World::fault(std::string_view text) {
    auto rule = parse_fault(text);
    if (!rule) std::abort();
    target.add_fault(std::move(*rule), now);
}

PlayedInitiator::PlayedInitiator(World& world)
    : link(world.target.accept(world.now, "127.0.0.1:3260")), world_(world), rx_(kDataBytesMax) {}

std::string PlayedInitiator::text_of(std::string_view lines) {
    std::string text{lines};
    if (!text.empty()) text += '\n';
    std::ranges::replace(text, '\n', '\0');
    return text;
}

void PlayedInitiator::send_raw(Bytes bytes) {
    world_.target.receive(link, bytes, world_.now);
}

void PlayedInitiator::send(Header header, Bytes data) {
    put_be24<at::kDataLength>(std::span{header}, static_cast<std::uint32_t>(data.size()));
    std::vector<std::byte> bytes{header.begin(), header.end()};
    const auto append = [&](Bytes more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
    if (digests.header) append(digest_of(header));
    std::vector<std::byte> segment{data.begin(), data.end()};
    segment.resize(padded(data.size()));
    append(segment);
    if (digests.data && !data.empty()) append(digest_of(segment));
    send_raw(bytes);
}

void PlayedInitiator::collect() {
    std::array<Bytes, 16> pieces;
    while (const std::size_t used = world_.target.tx_gather(link, pieces)) {
        std::size_t sent = 0;
        for (const Bytes piece : std::span{pieces}.first(used)) {
            Bytes left = piece;
            while (!left.empty()) {
                const auto room = rx_.space();
                const auto part = left.first(std::min(left.size(), room.size()));
                std::ranges::copy(part, room.begin());
                rx_.filled(part.size());
                left = left.subspan(part.size());
                while (true) {
                    const auto pdu = rx_.try_next(digests, kDataBytesMax);
                    if (!pdu || !*pdu) break;
                    Seen seen{.header = {},
                              .data = {(*pdu)->data.begin(), (*pdu)->data.end()},
                              .data_intact = (*pdu)->data_intact};
                    std::ranges::copy((*pdu)->header, seen.header.begin());
                    seen_.push_back(std::move(seen));
                }
            }
            sent += piece.size();
        }
        world_.target.tx_sent(link, sent);
    }
}

std::vector<std::byte> PlayedInitiator::take_raw() {
    std::vector<std::byte> bytes;
    std::array<Bytes, 16> pieces;
    while (const std::size_t used = world_.target.tx_gather(link, pieces)) {
        const std::size_t before = bytes.size();
        for (const Bytes piece : std::span{pieces}.first(used))
            bytes.insert(bytes.end(), piece.begin(), piece.end());
        world_.target.tx_sent(link, bytes.size() - before);
    }
    return bytes;
}

bool PlayedInitiator::has_next() {
    collect();
    return !seen_.empty();
}

Seen PlayedInitiator::next() {
    if (!has_next()) return {};
    Seen seen = std::move(seen_.front());
    seen_.pop_front();
    return seen;
}

Seen PlayedInitiator::login_step(std::string_view lines, std::uint8_t flags) {
    Header header = start_header(Opcode::Login);
    const std::span out{header};
    put_u8<at::kOpcode>(out, static_cast<std::uint8_t>(Opcode::Login) | bit::kImmediate);
    put_u8<at::kFlags>(out, flags);
    put_be16<at::kIsid>(out, static_cast<std::uint16_t>(isid >> 32));
    put_be32<at::kIsid + 2>(out, static_cast<std::uint32_t>(isid));
    put_be16<at::kTsih>(out, tsih);
    put_be32<at::kItt>(out, 7);
    put_be16<at::kCid>(out, cid);
    put_be32<at::kCmdSn>(out, cmd_sn);
    const std::string text = text_of(lines);
    send(header, std::as_bytes(std::span{text}));
    return next();
}

Seen PlayedInitiator::login(std::string_view more_keys, std::string_view target) {
    std::string keys = "InitiatorName=" + name + "\nTargetName=";
    keys += target.empty() ? world_.target.config().names.front() : std::string{target};
    if (!more_keys.empty()) keys.append("\n").append(more_keys);
    Seen answer = login_step(keys, 0x87);  // T, operational, to full feature
    if (answer.login_status() == 0) tsih = be16_at<at::kTsih>(answer.view());
    digests = {.header = answer.text().contains("HeaderDigest=CRC32C"),
               .data = answer.text().contains("DataDigest=CRC32C")};
    return answer;
}

void PlayedInitiator::logout(std::uint8_t reason) {
    Header header = start_header(Opcode::Logout);
    const std::span out{header};
    put_u8<at::kFlags>(out, static_cast<std::uint8_t>(0x80U | reason));
    put_be32<at::kItt>(out, next_itt++);
    put_be16<at::kCid>(out, cid);
    put_be32<at::kCmdSn>(out, cmd_sn++);
    send(header, {});
}

std::uint32_t PlayedInitiator::command(const Cdb& cdb, std::uint8_t flags, std::uint32_t edtl,
                                       Bytes immediate) {
    Header header = start_header(Opcode::ScsiCommand);
    const std::span out{header};
    const std::uint32_t itt = next_itt++;
    put_u8<at::kFlags>(out, flags);
    put_be32<at::kItt>(out, itt);
    put_be32<at::kExpectedLength>(out, edtl);
    put_be32<at::kCmdSn>(out, cmd_sn++);
    std::ranges::copy(cdb, out.subspan<at::kCdb, 16>().begin());
    send(header, immediate);
    return itt;
}

std::uint32_t PlayedInitiator::read(std::uint32_t lba, std::uint16_t blocks) {
    return command(cdb_10(scsi_op::kRead10, lba, blocks), bit::kFinal | bit::kRead, blocks * 512U);
}

std::uint32_t PlayedInitiator::write(std::uint32_t lba, Bytes data, bool fua) {
    const auto cdb = cdb_10(scsi_op::kWrite10, lba, static_cast<std::uint16_t>(data.size() / 512),
                            fua ? 0x08 : 0);
    return command(cdb, bit::kFinal | bit::kWrite, static_cast<std::uint32_t>(data.size()), data);
}

void PlayedInitiator::data_out(std::uint32_t itt, std::uint32_t ttt, std::uint32_t offset,
                               Bytes data, bool final, std::uint32_t data_sn) {
    Header header = start_header(Opcode::DataOut);
    const std::span out{header};
    put_u8<at::kFlags>(out, final ? bit::kFinal : std::uint8_t{0});
    put_be32<at::kItt>(out, itt);
    put_be32<at::kTtt>(out, ttt);
    put_be32<at::kDataSn>(out, data_sn);
    put_be32<at::kBufferOffset>(out, offset);
    send(header, data);
}

void PlayedInitiator::settle() {
    for (int i = 0; i < 8; ++i) {
        command(Cdb{}, bit::kFinal, 0);
        if (next().status() == 0) return;
    }
}

std::vector<std::byte> PlayedInitiator::read_back(std::uint32_t lba, std::uint16_t blocks) {
    read(lba, blocks);
    std::vector<std::byte> bytes;
    while (true) {
        const Seen seen = next();
        if (seen.opcode() != Opcode::DataIn || !seen.data_intact) return {};
        bytes.resize(std::max(bytes.size(), seen.offset() + seen.data.size()));
        std::ranges::copy(seen.data, bytes.begin() + static_cast<std::ptrdiff_t>(seen.offset()));
        if ((seen.flags() & bit::kStatusInData) != 0) return bytes;
    }
}

void PlayedInitiator::hang_up() {
    world_.target.lost(link, world_.now);
}

Cdb cdb_10(std::uint8_t opcode, std::uint32_t lba, std::uint16_t blocks, std::uint8_t bits) {
    Cdb cdb{};
    const std::span out{cdb};
    put_u8<0>(out, opcode);
    put_u8<1>(out, bits);
    put_be32<2>(out, lba);
    put_be16<7>(out, blocks);
    return cdb;
}

std::vector<std::byte> pattern(std::size_t bytes, std::uint8_t seed) {
    std::vector<std::byte> out(bytes);
    std::uint8_t value = seed;
    for (auto& b : out)
        b = static_cast<std::byte>(value = static_cast<std::uint8_t>(value * 5 + 3));
    return out;
}

}  // namespace holdfast::target
