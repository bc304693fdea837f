#include "daemon/control/spec_builder.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "daemon/control/file.h"
#include "daemon/control/interfaces.h"
#include "daemon/control/sentences.h"
#include "initiator/login/name.h"
#include "initiator/scsi/lun.h"

namespace holdfast::daemon {

namespace {

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

/// Copies out of the list, because the entries' addresses need not be aligned for a cast.
std::string numeric_text(const addrinfo& entry) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (entry.ai_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, entry.ai_addr, sizeof(address));
        ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
        return text.data();
    }
    sockaddr_in6 address{};
    std::memcpy(&address, entry.ai_addr, sizeof(address));
    ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    std::string host = text.data();
    if (address.sin6_scope_id != 0) host += fmt::format("%{}", address.sin6_scope_id);
    return host;
}

/// The secret from the request, or else from its file.
OrFailure<initiator::ChapSecret> secret_of(const std::string& user, const std::string& given,
                                           const std::string& file) {
    initiator::ChapSecret made;
    if (user.empty()) return made;
    std::string secret = given;
    if (secret.empty() && !file.empty()) {
        auto read = read_secret_file(file);
        if (!read) return std::unexpected{read.error()};
        secret = *std::move(read);
    }
    if (secret.empty())
        return fail(ExitCode::Usage,
                    fmt::format("user '{}' has no password; give --password-file, set "
                                "HOLDFAST_PASSWORD, or type it at the prompt",
                                user));
    if (!made.name.try_assign(user) || !made.secret.try_assign(secret))
        return fail(ExitCode::Usage, "user and password may have 255 bytes each; shorten them");
    return made;
}

OrFailure<void> add_portals(const AttachSettings& settings, initiator::SessionConfig& session) {
    std::optional<Failure> last;
    for (const HostPort& wanted : settings.portals) {
        const auto addresses = resolve(wanted);
        if (!addresses) {
            last = addresses.error();  // Another portal may do.
            continue;
        }
        for (const initiator::Portal& portal : *addresses) {
            if (!session.portals.try_push(portal)) return {};
        }
    }
    if (session.portals.empty() && last) return std::unexpected{*last};
    return {};
}

}  // namespace

OrFailure<std::vector<initiator::Portal>> resolve(const HostPort& portal) {
    addrinfo wish{};
    wish.ai_family = AF_UNSPEC;
    wish.ai_socktype = SOCK_STREAM;
    wish.ai_flags = AI_ADDRCONFIG;
    addrinfo* raw = nullptr;
    int verdict = ::getaddrinfo(portal.host.c_str(), nullptr, &wish, &raw);
    if (verdict != 0) {  // AI_ADDRCONFIG hides loopback addresses of a family that has no other.
        wish.ai_flags = 0;
        verdict = ::getaddrinfo(portal.host.c_str(), nullptr, &wish, &raw);
    }
    if (verdict != 0)
        return fail(ExitCode::Unreachable,
                    fmt::format("the name '{}' cannot be resolved: {}; check its spelling and the "
                                "name service, or give an address",
                                portal.host, ::gai_strerror(verdict)));
    const std::unique_ptr<addrinfo, FreeAddresses> list{raw};
    std::vector<initiator::Portal> found;
    for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
        if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
        initiator::Portal made;
        made.port = portal.port;
        if (made.host.try_assign(numeric_text(*entry))) found.push_back(made);
    }
    if (found.empty())
        return fail(ExitCode::Unreachable,
                    fmt::format("'{}' has no IPv4 or IPv6 address; give an address", portal.host));
    return found;
}

OrFailure<FixedString<63>> resolve_host(std::string_view host) {
    const auto found = resolve({.host = std::string{host}, .port = 0});
    if (!found) return std::unexpected{found.error()};
    FixedString<63> address;
    if (!address.try_assign(found->front().host.view()))
        return fail(ExitCode::Unreachable, fmt::format("'{}' has no usable address", host));
    return address;
}

OrFailure<initiator::SessionConfig> build_session(const AttachSettings& settings,
                                                  const Identity& identity) {
    initiator::SessionConfig session;
    const bool names_fit = session.initiator_name.try_assign(identity.initiator_name) &&
                           session.target_name.try_assign(settings.target);
    if (!names_fit) return fail(ExitCode::Usage, "an iSCSI name has at most 223 bytes; shorten it");
    if (initiator::judge_name(identity.initiator_name)) {
        return fail(ExitCode::Usage,
                    "the initiator name is not an iSCSI name; write it in lower case, such as "
                    "iqn.2026-01.com.example:host");
    }
    const auto lun = initiator::scsi::lun_of_number(settings.lun.value_or(0));
    if (!lun) return fail(ExitCode::Usage, "the LUN is out of range; use 0 to 16383");
    session.lun = *lun;
    session.isid = identity.isid;
    session.wish = settings.tuning.wish;
    session.timers = settings.tuning.timers;
    session.owns_unit_alone = !settings.shared;
    session.fence_by_reservation = settings.tuning.fence == FenceWish::Preempt;
    session.read_only = settings.read_only;
    session.auth.offer_md5_only = settings.md5_only;
    auto ours = secret_of(settings.user, settings.password, settings.password_file);
    if (!ours) return std::unexpected{ours.error()};
    session.auth.to_target = *ours;
    auto theirs =
        secret_of(settings.mutual_user, settings.mutual_password, settings.mutual_password_file);
    if (!theirs) return std::unexpected{theirs.error()};
    session.auth.from_target = *theirs;
    if (const auto added = add_portals(settings, session); !added)
        return std::unexpected{added.error()};
    return session;
}

OrFailure<AttachSpec> build_spec(const AttachSettings& settings, const Identity& identity) {
    auto session = build_session(settings, identity);
    if (!session) return std::unexpected{session.error()};
    AttachSpec spec;
    spec.session = *session;
    spec.profile = settings.profile;
    spec.tier_demanded = settings.tuning.tier;
    const bool stands_by = settings.standby.value_or(default_standby(settings.profile));
    spec.flags = (settings.force_tier ? kAttachForceTier : 0U) |
                 (settings.without_lockdown ? kAttachWithoutLockdown : 0U) |
                 (settings.keep_kernel_reserve ? kAttachKeepKernelReserve : 0U) |
                 (stands_by ? 0U : kAttachWithoutStandby);
    spec.limits.depth = settings.tuning.depth;
    spec.limits.request_bytes_max = settings.tuning.request_bytes;
    spec.limits.connections = settings.tuning.connections;
    spec.socket = settings.tuning.socket;
    spec.receive_queues = receive_queues_of_host();
    spec.exported.kind = settings.exported;
    spec.exported.read_only = settings.read_only;
    spec.exported.ublk_id_wish = settings.ublk_id;
    if (!spec.name.try_assign(settings.name))
        return fail(ExitCode::Usage, sentence_of(SpecError::Name));
    if (!spec.exported.nbd_socket_path.try_assign(settings.nbd_socket))
        return fail(ExitCode::Usage, sentence_of(SpecError::Export));
    if (const auto verdict = check(spec); !verdict)
        return fail(ExitCode::Usage, sentence_of(verdict.error()));
    return spec;
}

}  // namespace holdfast::daemon
