#include "daemon/shared/attach_spec.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "daemon/shared/plain_sound.h"

namespace holdfast::daemon {

namespace {

using initiator::AuthConfig;
using initiator::ChapSecret;
using initiator::OperationalWish;
using initiator::Portal;
using initiator::SessionConfig;
using initiator::TimerConfig;

constexpr std::uint32_t kPageBytes = 4096;
constexpr std::uint32_t kStageBytesMax = 1024 * 1024;
constexpr std::uint32_t kSocketBytesMax = 64U * 1024 * 1024;
constexpr std::uint32_t kSegmentBytesMin = 512;             // RFC 7143 section 13.12.
constexpr std::uint32_t kSegmentBytesMax = (1U << 24) - 1;  // RFC 7143 section 13.12.
constexpr std::uint16_t kTime2SecondsMax = 3600;            // RFC 7143 section 13.15.
constexpr std::uint64_t kIsidMax = (1ULL << 48) - 1;        // RFC 7143 section 11.12.5.
constexpr std::int32_t kUblkIdMax = (1 << 20) - 1;          // A minor number has 20 bits.
constexpr Duration kTimerMax = Duration::from_s(24 * 3600);

using plain::is_sound;

bool is_sound(const ChapSecret& secret) noexcept {
    return is_sound(secret.name) && is_sound(secret.secret);
}

bool is_sound(const FixedVector<Portal, 4>& portals) noexcept {
    if (portals.size() > portals.capacity()) return false;
    return std::ranges::all_of(portals, [](const Portal& p) { return is_sound(p.host); });
}

bool is_sound(const OperationalWish& wish) noexcept {
    return is_sound(wish.initial_r2t) && is_sound(wish.immediate_data) &&
           is_sound(wish.data_pdu_in_order) && is_sound(wish.data_sequence_in_order);
}

bool is_sound(const SessionConfig& session) noexcept {
    return is_sound(session.initiator_name) && is_sound(session.initiator_alias) &&
           is_sound(session.target_name) && is_sound(session.portals) &&
           is_sound(session.auth.to_target) && is_sound(session.auth.from_target) &&
           is_sound(session.auth.offer_md5_only) && is_sound(session.wish) &&
           is_sound(session.owns_unit_alone) && is_sound(session.fence_by_reservation) &&
           is_sound(session.read_only) && is_sound(session.takes_over_device);
}

bool is_sound(const AttachSpec& spec) noexcept {
    return is_sound(spec.name) && is_sound(spec.session) && is_sound(spec.exported.read_only) &&
           is_sound(spec.exported.nbd_socket_path) && is_sound(spec.gate.interface) &&
           is_sound(spec.gate.refusal) &&
           static_cast<std::uint8_t>(spec.gate.state) < kGateStateCount;
}

bool is_between(std::uint64_t value, std::uint64_t low, std::uint64_t high) noexcept {
    return low <= value && value <= high;
}

/// The shape only; initiator/ judges names by the book. RFC 7143 section 4.2.7.
bool is_iscsi_name(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 3> kForms{"iqn.", "eui.", "naa."};
    const bool known_form = std::ranges::any_of(
        kForms, [name](std::string_view form) { return name.starts_with(form); });
    const auto is_plain = [](char c) { return c > ' ' && c != 0x7f; };
    return known_form && name.size() > 4 && std::ranges::all_of(name, is_plain);
}

bool is_numeric_host(const Portal& portal) noexcept {
    std::array<char, 256> text{};
    const std::string_view host = portal.host.view();
    std::ranges::copy(host, text.begin());
    if (std::ranges::find(host, '\0') != host.end()) return false;
    in6_addr room{};
    if (::inet_pton(AF_INET, text.data(), &room) == 1) return true;
    const auto percent = std::ranges::find(text, '%');  // A zone, as in fe80::1%eth0.
    if (percent != text.end()) *percent = '\0';
    return ::inet_pton(AF_INET6, text.data(), &room) == 1;
}

bool is_usable(const AuthConfig& auth) noexcept {
    const auto is_half = [](const ChapSecret& s) { return s.name.empty() != s.secret.empty(); };
    if (is_half(auth.to_target) || is_half(auth.from_target)) return false;
    return !auth.from_target.is_set() || auth.to_target.is_set();
}

/// Ranges of RFC 7143 section 13, as far as the engine goes.
bool is_usable(const OperationalWish& wish) noexcept {
    using enum initiator::DigestWish;
    return wish.header_digest <= Never && wish.data_digest <= Never &&
           is_between(wish.max_recv_data_segment_bytes, kSegmentBytesMin, kSegmentBytesMax) &&
           is_between(wish.max_burst_bytes, kSegmentBytesMin, kSegmentBytesMax) &&
           is_between(wish.first_burst_bytes, kSegmentBytesMin, wish.max_burst_bytes) &&
           is_between(wish.max_outstanding_r2t, 1, OperationalWish::kOutstandingR2tMax) &&
           wish.time2wait_s <= kTime2SecondsMax && wish.time2retain_s <= kTime2SecondsMax &&
           wish.error_recovery_level <= OperationalWish::kErrorRecoveryLevelMax;
}

bool is_usable(Duration timer) noexcept {
    return timer > Duration{} && timer <= kTimerMax;
}

bool is_usable(const TimerConfig& timers) noexcept {
    const std::array all{timers.login,         timers.logout,        timers.nop_interval,
                         timers.nop_timeout,   timers.command,       timers.flush,
                         timers.abort_task,    timers.lun_reset,     timers.target_reset,
                         timers.reconnect_min, timers.reconnect_max, timers.fence_wait};
    if (!std::ranges::all_of(all, [](Duration timer) { return is_usable(timer); })) return false;
    const bool waits_for_ever = timers.replacement == Duration::max();
    return timers.reconnect_min <= timers.reconnect_max &&
           (waits_for_ever || is_usable(timers.replacement));
}

std::expected<void, SpecError> check_session(const SessionConfig& session) noexcept {
    using enum SpecError;
    if (!is_iscsi_name(session.initiator_name.view())) return std::unexpected{InitiatorName};
    if (!is_iscsi_name(session.target_name.view())) return std::unexpected{TargetName};
    if (session.portals.empty()) return std::unexpected{NoPortal};
    for (const initiator::Portal& portal : session.portals) {
        if (portal.port == 0 || !is_numeric_host(portal)) return std::unexpected{SpecError::Portal};
    }
    if (session.isid.raw() > kIsidMax) return std::unexpected{Isid};
    if (!is_usable(session.auth)) return std::unexpected{Auth};
    if (!is_usable(session.wish)) return std::unexpected{Wish};
    if (!is_usable(session.timers)) return std::unexpected{Timer};
    return {};
}

std::expected<void, SpecError> check_limits(const AttachSpec& spec) noexcept {
    using enum SpecError;
    const initiator::EngineLimits& limits = spec.limits;
    const std::uint16_t depth_max =
        spec.exported.kind == ExportKind::Ublk ? AttachSpec::kUblkDepthMax : AttachSpec::kDepthMax;
    if (!is_between(limits.depth, 1, depth_max)) return std::unexpected{Depth};
    if (!is_between(limits.request_bytes_max, kPageBytes, AttachSpec::kRequestBytesMax) ||
        limits.request_bytes_max % kPageBytes != 0)
        return std::unexpected{RequestBytes};
    if (!is_between(limits.connections, 1, AttachSpec::kConnectionsMax))
        return std::unexpected{Connections};
    if (!is_between(limits.transmit_pieces, initiator::EngineLimits::kTransmitPiecesMin,
                    initiator::EngineLimits::kTransmitPiecesMax))
        return std::unexpected(SpecError::Damaged);
    if (!is_between(limits.stage_bytes, kPageBytes, kStageBytesMax))
        return std::unexpected{StageBytes};
    if (std::uint64_t{limits.depth} * limits.request_bytes_max > AttachSpec::kDataBytesMax)
        return std::unexpected{DataBytes};
    if (spec.socket.send_bytes > kSocketBytesMax || spec.socket.receive_bytes > kSocketBytesMax)
        return std::unexpected{SocketBytes};
    return {};
}

bool is_usable(const ExportSpec& exported) noexcept {
    if (exported.ublk_id_wish < -1 || exported.ublk_id_wish > kUblkIdMax) return false;
    const std::string_view path = exported.nbd_socket_path.view();
    if (path.find('\0') != std::string_view::npos) return false;
    return exported.kind != ExportKind::Nbd || path.starts_with('/');
}

bool is_usable_path(const AttachSpec& spec) noexcept {
    const bool has_gate =
        spec.gate.state == GateState::Native || spec.gate.state == GateState::Generic;
    return spec.path == NetworkPath::Kernel || (spec.path == NetworkPath::Xdp && has_gate);
}

}  // namespace

bool is_attachment_name(std::string_view name) noexcept {
    const auto is_alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (name.empty() || name.size() > AttachmentName::capacity() || !is_alnum(name.front()))
        return false;
    return std::ranges::all_of(
        name, [&](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

std::expected<void, SpecError> check(const AttachSpec& spec) noexcept {
    using enum SpecError;
    if (spec.magic != AttachSpec::kMagic) return std::unexpected{Magic};
    if (spec.version != AttachSpec::kVersion) return std::unexpected{Version};
    if (!is_sound(spec)) return std::unexpected{Damaged};
    if (!is_attachment_name(spec.name.view())) return std::unexpected{Name};
    if (static_cast<std::uint8_t>(spec.profile) >= kProfileCount) return std::unexpected{Profile};
    if (static_cast<std::uint8_t>(spec.tier_demanded) >= kTierCount)
        return std::unexpected{TierDemand};
    if ((spec.flags & ~std::uint32_t{kAttachFlagsKnown}) != 0) return std::unexpected{Flags};
    if (static_cast<std::uint8_t>(spec.exported.kind) >= kExportKindCount ||
        !is_usable(spec.exported))
        return std::unexpected{Export};
    if (!is_usable_path(spec)) return std::unexpected{Path};
    if (const auto session = check_session(spec.session); !session) return session;
    return check_limits(spec);
}

std::expected<AttachSpec, SpecError> attach_spec_from(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() != sizeof(AttachSpec)) return std::unexpected{SpecError::Size};
    AttachSpec spec;
    std::memcpy(&spec, bytes.data(), sizeof(spec));
    if (const auto verdict = check(spec); !verdict) return std::unexpected{verdict.error()};
    return spec;
}

}  // namespace holdfast::daemon
