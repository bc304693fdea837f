#include "daemon/control/flight.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <tuple>

#include "base/assert.h"
#include "base/bytes.h"
#include "daemon/control/log_drain.h"
#include "daemon/control/pcapng.h"
#include "daemon/control/sentences.h"
#include "initiator/pdu/length.h"

namespace holdfast::daemon {

using initiator::FlightRecord;
using initiator::RecorderShape;
using initiator::RecordKind;

namespace {

constexpr std::array<std::string_view, kFlightErrorCount> kErrors{
    "its size is not what it says", "a number is impossible", "a kind is unknown",
    "a connection does not exist",  "a time is impossible",   "a state does not exist"};

/// In the order of their enumerators; the numbers are those of RFC 7143 section 8.
constexpr std::array<std::string_view, 7> kConnStates{
    "S1 free",      "S2 transport wait",   "S4 in login",    "S5 logged in",
    "S6 in logout", "S7 logout requested", "S8 cleanup wait"};
constexpr std::array<std::string_view, 10> kConnEvents{"connect wanted",
                                                       "transport up",
                                                       "transport lost",
                                                       "login accepted",
                                                       "login failed",
                                                       "logout wanted",
                                                       "logout asked by the target",
                                                       "logout accepted",
                                                       "logout refused",
                                                       "session logged out"};
constexpr std::array<std::string_view, 3> kCleanupStates{"R1 cleanup wait", "R2 in cleanup",
                                                         "R3 free"};
constexpr std::array<std::string_view, 5> kCleanupEvents{
    "state timed out", "session logged out", "logout started", "logout failed", "logout done"};
constexpr std::array<std::string_view, 3> kSessionStates{"Q1 free", "Q3 logged in", "Q4 failed"};
constexpr std::array<std::string_view, 6> kSessionEvents{
    "connection logged in", "closed", "failure", "continued", "reinstated", "timed out"};

template <std::size_t N>
std::string_view text_at(const std::array<std::string_view, N>& texts, std::uint8_t index) {
    return index < N ? texts[index] : "unknown";
}

/// Numbers that are unmistakably made up: nobody recorded the real ones.
constexpr std::uint16_t kOurPortFirst = 49152;
constexpr std::uint16_t kOurPorts = 16384;
constexpr std::array<std::uint8_t, 4> kOurAddress4{192, 0, 2, 1};     // RFC 5737
constexpr std::array<std::uint8_t, 4> kUnknownPortal4{192, 0, 2, 2};  // RFC 5737
constexpr std::array<std::uint8_t, 16> kOurAddress6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
                                                    0,    0,    0,    0,    0, 0, 0, 1};
constexpr std::uint32_t kFirstSequence = 1;

constexpr std::size_t kEthernetBytes = 14;
constexpr std::size_t kIpv4Bytes = 20;
constexpr std::size_t kIpv6Bytes = 40;
constexpr std::size_t kJumboBytes = 8;
constexpr std::size_t kTcpBytes = 20;
/// The port that is known to be iSCSI: dissectors look at nothing else.
constexpr std::uint16_t kPortalPort = 3260;
constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolHopByHop = 0;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint16_t kPushAndAck = 0x5018;  // Five words of header; PSH, ACK.
constexpr std::size_t kFrameBytesMax =
    kEthernetBytes + kIpv6Bytes + kJumboBytes + kTcpBytes + initiator::kBhsBytes;

/// Both ends; IPv6 when the portal's address is.
struct Ends {
    bool is_ipv6 = false;
    std::array<std::uint8_t, 16> ours{};
    std::array<std::uint8_t, 16> portal{};

    [[nodiscard]] std::span<const std::byte> address(bool of_portal) const noexcept {
        const auto& chosen = of_portal ? portal : ours;
        return std::as_bytes(std::span{chosen}.first(is_ipv6 ? 16 : 4));
    }
};

Ends ends_of(const FlightScene& scene) {
    Ends ends;
    std::array<std::uint8_t, 16> found{};
    if (::inet_pton(AF_INET6, scene.portal_host.c_str(), found.data()) == 1) {
        ends.is_ipv6 = true;
        ends.portal = found;
        ends.ours = kOurAddress6;
        return ends;
    }
    std::ranges::copy(kOurAddress4, ends.ours.begin());
    std::ranges::copy(kUnknownPortal4, ends.portal.begin());
    if (::inet_pton(AF_INET, scene.portal_host.c_str(), found.data()) == 1) ends.portal = found;
    return ends;
}

/// RFC 1071.
std::uint16_t internet_checksum(std::span<const std::byte> bytes) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        sum += (std::to_integer<std::uint32_t>(bytes[i]) << 8) |
               std::to_integer<std::uint32_t>(bytes[i + 1]);
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

void put_ipv4(ByteWriter& out, const Ends& ends, bool is_sent, std::uint32_t segment_bytes) {
    const std::uint32_t total = kIpv4Bytes + kTcpBytes + segment_bytes;
    std::array<std::byte, kIpv4Bytes> room{};
    const auto write = [&](std::uint16_t checksum) {
        ByteWriter header{room};
        header.be16(0x4500);
        // What is too long for a packet went to the card as one: its length reads 0.
        header.be16(total > 0xffff ? 0 : static_cast<std::uint16_t>(total));
        header.be32(0x4000);  // Identification; do not fragment.
        header.u8(kHopLimit);
        header.u8(kProtocolTcp);
        header.be16(checksum);
        header.bytes(ends.address(!is_sent));
        header.bytes(ends.address(is_sent));
    };
    write(0);
    write(internet_checksum(room));
    out.bytes(room);
}

/// A longer packet than its header can tell is a jumbogram. RFC 2675.
void put_ipv6(ByteWriter& out, const Ends& ends, bool is_sent, std::uint32_t segment_bytes) {
    constexpr std::uint16_t kOptionsAndJumbo = 0x00c2;
    const std::uint32_t payload = kTcpBytes + segment_bytes;
    const bool is_jumbo = payload > 0xffff;
    out.be32(0x6000'0000);
    out.be16(is_jumbo ? 0 : static_cast<std::uint16_t>(payload));
    out.u8(is_jumbo ? kProtocolHopByHop : kProtocolTcp);
    out.u8(kHopLimit);
    out.bytes(ends.address(!is_sent));
    out.bytes(ends.address(is_sent));
    if (!is_jumbo) return;
    out.u8(kProtocolTcp);
    out.be16(kOptionsAndJumbo);
    out.u8(sizeof(payload));
    out.be32(payload + kJumboBytes);
}

/// How far each direction of each connection has come, for the acknowledgements.
struct Progress {
    std::uint16_t incarnation = 0;
    std::uint64_t sent_end = 0;
    std::uint64_t received_end = 0;
};

class Capture {
public:
    explicit Capture(const FlightScene& scene)
        : scene_(scene), ends_(ends_of(scene)), writer_("holdfast " HF_VERSION) {
        writer_.add_interface(
            LinkType::Ethernet, scene.attachment,
            fmt::format("headers of {} at {} port {}; data segments were not kept", scene.target,
                        scene.portal_host, scene.portal_port));
        writer_.add_interface(LinkType::UpperPdu, scene.attachment + "-states",
                              "states and notices");
    }

    void add(const FlightRecord& record) {
        const bool is_sent = record.kind == RecordKind::PduSent;
        if (is_sent || record.kind == RecordKind::PduReceived) {
            add_pdu(record, is_sent);
        } else {
            add_text(record);
        }
    }
    [[nodiscard]] std::string take() { return writer_.take(); }

private:
    [[nodiscard]] std::int64_t wall_ns(const FlightRecord& record) const {
        // Sums of what a mad writer left may be anything, but not undefined.
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(record.at.ns()) +
                                         static_cast<std::uint64_t>(scene_.wall_offset.ns()));
    }

    void add_pdu(const FlightRecord& record, bool is_sent) {
        Progress& progress = progress_[record.conn % progress_.size()];
        if (progress.incarnation != record.incarnation)
            progress = Progress{.incarnation = record.incarnation};
        const initiator::Bhs bhs{record.header};
        const std::uint32_t pdu_bytes = initiator::layout_of(bhs, record.digests).total_bytes();
        (is_sent ? progress.sent_end : progress.received_end) = record.stream_offset + pdu_bytes;
        const auto wire = [](std::uint64_t offset) {
            return static_cast<std::uint32_t>(kFirstSequence + offset);
        };
        // The made-up port tells connections and their incarnations apart.
        const auto our_port = static_cast<std::uint16_t>(
            kOurPortFirst + (record.conn * (kOurPorts / RecorderShape::kConnectionsMax) +
                             record.incarnation % (kOurPorts / RecorderShape::kConnectionsMax)));

        std::array<std::byte, kFrameBytesMax> room{};
        ByteWriter out{room};
        out.be16(0x0200);
        out.be32(is_sent ? 2 : 1);
        out.be16(0x0200);
        out.be32(is_sent ? 1 : 2);
        out.be16(ends_.is_ipv6 ? kEtherTypeIpv6 : kEtherTypeIpv4);
        if (ends_.is_ipv6) {
            put_ipv6(out, ends_, is_sent, pdu_bytes);
        } else {
            put_ipv4(out, ends_, is_sent, pdu_bytes);
        }
        out.be16(is_sent ? our_port : kPortalPort);
        out.be16(is_sent ? kPortalPort : our_port);
        out.be32(wire(record.stream_offset));
        out.be32(wire(is_sent ? progress.received_end : progress.sent_end));
        out.be16(kPushAndAck);
        out.be16(0xffff);
        out.be32(0);  // The checksum covers what was not kept.
        const std::size_t before_pdu = out.used_bytes();
        out.bytes(bhs);
        HF_ASSERT(!out.overflowed());
        writer_.add(
            {.interface = 0,
             .at_ns = wall_ns(record),
             .bytes = out.written(),
             .wire_bytes = static_cast<std::uint32_t>(before_pdu + pdu_bytes),
             .comment = record.is_broken ? "not readable: wrong digest or form; dropped" : ""});
    }

    /// An exported PDU for the dissector of text lines: tag, length, value, padded to words.
    void add_text(const FlightRecord& record) {
        constexpr std::uint16_t kTagDissector = 12;
        constexpr std::string_view kDissector = "syslog";
        const std::string text = sentence_of(record);
        std::array<std::byte, 512> room{};
        ByteWriter out{room};
        out.be16(kTagDissector);
        out.be16((kDissector.size() + 3) / 4 * 4);
        out.text(kDissector);
        for (std::size_t i = kDissector.size(); i % 4 != 0; ++i) out.u8(0);
        out.be32(0);  // The end of the tags.
        out.text(std::string_view{text}.substr(0, room.size() - out.used_bytes()));
        writer_.add({.interface = 1,
                     .at_ns = wall_ns(record),
                     .bytes = out.written(),
                     .wire_bytes = static_cast<std::uint32_t>(out.used_bytes()),
                     .comment = text});
    }

    const FlightScene& scene_;
    Ends ends_;
    PcapngWriter writer_;
    std::array<Progress, RecorderShape::kConnectionsMax> progress_{};
};

std::string step_text(std::string_view what, std::string_view from, std::string_view to,
                      std::string_view event) {
    return fmt::format("{}: {} -> {} ({})", what, from, to, event);
}

}  // namespace

std::string sentence_of(const FlightRecord& record) {
    const auto connection = [&](std::string_view what) {
        return fmt::format("{} {}.{}", what, record.conn, record.incarnation);
    };
    switch (record.kind) {
    case RecordKind::Connection:
        return step_text(connection("connection"), text_at(kConnStates, record.from),
                         text_at(kConnStates, record.to), text_at(kConnEvents, record.event));
    case RecordKind::Cleanup:
        return step_text(connection("cleanup"), text_at(kCleanupStates, record.from),
                         text_at(kCleanupStates, record.to), text_at(kCleanupEvents, record.event));
    case RecordKind::Session:
        return step_text("session", text_at(kSessionStates, record.from),
                         text_at(kSessionStates, record.to), text_at(kSessionEvents, record.event));
    case RecordKind::Phase:
        return fmt::format("phase: {} -> {}",
                           to_text(static_cast<initiator::SessionPhase>(record.from)),
                           to_text(static_cast<initiator::SessionPhase>(record.to)));
    case RecordKind::Notice: {
        std::array<std::uint64_t, 2> numbers{};
        std::memcpy(numbers.data(), record.header.data(), sizeof(numbers));
        return sentence_of(
            initiator::Notice{.kind = static_cast<initiator::NoticeKind>(record.event),
                              .a = numbers[0],
                              .b = numbers[1]});
    }
    case RecordKind::PduSent:
    case RecordKind::PduReceived: break;
    }
    return "a header";
}

OrFailure<std::vector<FlightRecord>> collect_flight(const FlightReader& reader) {
    std::vector<FlightRecord> records;
    for (std::size_t i = 0; i < reader.size(); ++i) {
        const auto record = reader.try_read(i);
        if (!record)
            return fail(ExitCode::Failed,
                        fmt::format("the flight recorder is damaged: {}; its I/O process "
                                    "cannot be trusted any more",
                                    kErrors[static_cast<std::size_t>(record.error())]));
        if (*record) records.push_back(**record);
    }
    // Within one turn of the loop all have the same time: headers come first, because states follow
    // from them; otherwise a track's own order decides.
    std::ranges::sort(records, [](const FlightRecord& a, const FlightRecord& b) {
        const auto key = [](const FlightRecord& record) {
            const bool is_state = record.kind > RecordKind::PduReceived;
            return std::tuple{record.at, is_state, is_state ? 0 : record.conn, record.number};
        };
        return key(a) < key(b);
    });
    return records;
}

std::string pcapng_of(const FlightScene& scene, const std::vector<FlightRecord>& records) {
    Capture capture{scene};
    for (const FlightRecord& record : records) capture.add(record);
    return capture.take();
}

Duration wall_offset_now() noexcept {
    timespec wall{};
    ::clock_gettime(CLOCK_REALTIME, &wall);
    return Instant::from_ns(std::int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec) -
           monotonic_now();
}

}  // namespace holdfast::daemon
