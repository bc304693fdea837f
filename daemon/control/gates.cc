#include "daemon/control/gates.h"

#include <fmt/format.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/control/interfaces.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/loader_message.h"
#include "netpath/classifier/loader.h"
#include "netpath/io/socket_address.h"

namespace holdfast::daemon {

namespace {

using netpath::classifier::ClassifierTable;
using netpath::classifier::DropCount;
using netpath::classifier::LoadStep;
using netpath::classifier::PressureMode;

/// Loading takes some ten milliseconds; a machine that is short of memory may need longer.
constexpr int kLoaderPatienceMs = 20'000;

/// What is wrong, and what an operator can change. At most 63 bytes, for GateSpec::refusal.
std::string_view refusal_of(const LoaderReply& reply) {
    if (reply.error == EPERM || reply.error == EACCES) return "BPF programs need root";
    if (reply.error == EBUSY) return "another XDP program is there; remove it";
    switch (static_cast<LoadStep>(reply.step)) {
    case LoadStep::Load: return "the kernel refuses the program; it needs 5.18";
    case LoadStep::Attach: return "its driver has no native XDP, or an offload stands against it";
    case LoadStep::ReadBack: break;
    }
    return "the kernel does not show it as attached";
}

/// Empty: the loader does not answer.
struct Loaded {
    LoaderReply reply;
    GateFiles files;
};
std::optional<Loaded> ask_loader(int loader, const LoaderRequest& request) {
    if (!send_message(loader, std::as_bytes(std::span{&request, 1}))) return {};
    pollfd wait{.fd = loader, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kLoaderPatienceMs) != 1) return {};
    std::array<std::byte, sizeof(LoaderReply) + 1> room{};
    auto received = receive_message(loader, room);
    if (!received || received->bytes != sizeof(LoaderReply)) return {};
    Loaded loaded;
    std::memcpy(&loaded.reply, room.data(), sizeof loaded.reply);
    if (loaded.reply.magic != LoaderReply::kMagic) return {};
    loaded.files = GateFiles::taken_from(received->fds);
    return loaded;
}

/// The interface that the operator named, or the one that leads to the first portal.
OrFailure<Interface> interface_for(const AttachSettings& settings, const AttachSpec& spec) {
    if (!settings.gate.interface.empty()) return interface_named(settings.gate.interface);
    return interface_towards(spec.session.portals[0].host.view());
}

void add_addresses(const Gate& gate) {
    for (const auto& address : addresses_of(std::string{gate.spec.interface.view()}))
        static_cast<void>(gate.table.try_add_address(address));
}

void watch_portals(const Gate& gate, const AttachSpec& spec) {
    for (const initiator::Portal& portal : spec.session.portals) {
        const auto address = netpath::SocketAddress::from_text(portal.host.view(), portal.port);
        if (address) static_cast<void>(gate.table.try_watch_neighbour(address->ip()));
    }
}

std::unexpected<Failure> refused(std::string_view interface, std::string_view why) {
    return fail(
        ExitCode::Failed,
        fmt::format("no classifier on {}: {}; or attach with classifier = \"auto\" and path = "
                    "\"kernel\"",
                    interface, why));
}

std::string protocol_text(const DropCount& drop) {
    if (!drop.is_ip) return fmt::format("ether 0x{:04x}", drop.protocol);
    switch (drop.protocol) {
    case 1: return "icmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 58: return "icmp6";
    default: return fmt::format("ip {}", drop.protocol);
    }
}

Json drops_json(const ClassifierTable& table) {
    std::array<DropCount, HF_DROP_KINDS> room{};
    const auto drops = table.drops(room);
    std::ranges::sort(drops, std::ranges::greater{}, &DropCount::packets);
    Json rows = Json::array();
    for (const DropCount& drop : drops) {
        Json row;
        row["protocol"] = protocol_text(drop);
        row["port"] = drop.port;
        row["packets"] = drop.packets;
        rows.push_back(std::move(row));
    }
    return rows;
}

double ms_of(Duration duration) {
    return static_cast<double>(duration.ns()) / 1e6;
}

}  // namespace

std::shared_ptr<Gate> Gates::find(std::uint32_t interface_index) const {
    for (const auto& gate : all())
        if (gate->spec.interface_index == interface_index) return gate;
    return {};
}

std::vector<std::shared_ptr<Gate>> Gates::all() const {
    std::vector<std::shared_ptr<Gate>> found;
    for (const auto& one : gates_)
        if (auto gate = one.lock()) found.push_back(std::move(gate));
    return found;
}

OrFailure<std::shared_ptr<Gate>> Gates::load(const GateSpec& where, GateWish wish,
                                             bool may_be_generic) {
    if (loader_ < 0)
        return refused(where.interface.view(), "install holdfast-loader next to holdfastd");
    LoaderRequest request{.interface_index = where.interface_index};
    request.may_be_generic = may_be_generic ? 1 : 0;
    auto loaded = ask_loader(loader_, request);
    if (!loaded) {
        loader_ = -1;  // A late answer would be taken for that to another question.
        return refused(where.interface.view(),
                       "holdfast-loader does not answer; restart holdfastd");
    }
    if (loaded->reply.error != 0) return refused(where.interface.view(), refusal_of(loaded->reply));
    auto gate = std::make_shared<Gate>();
    gate->spec = where;
    gate->spec.state = loaded->reply.is_native != 0 ? GateState::Native : GateState::Generic;
    auto table = ClassifierTable::map(loaded->files.all[GateFiles::kShared].get());
    if (!table) return refused(where.interface.view(), table.error().text());
    gate->table = *std::move(table);
    gate->files = std::move(loaded->files);
    gate->drops = wish != GateWish::Off;
    if (!gate->drops) gate->table.set_pressure_mode(PressureMode::Off);
    std::erase_if(gates_, [](const auto& one) { return one.expired(); });
    gates_.push_back(gate);
    return gate;
}

OrFailure<std::shared_ptr<Gate>> Gates::gate_for(const AttachSettings& settings, AttachSpec& spec) {
    spec.gate = {};
    spec.path = NetworkPath::Kernel;
    const GateWish wish = settings.gate.wish.value_or(GateWish::Off);
    const bool is_reserved = settings.tuning.path == NetworkPath::Xdp;
    if (wish == GateWish::Off && !is_reserved) return nullptr;
    OrFailure<std::shared_ptr<Gate>> gate = nullptr;
    std::string_view why = "no interface leads to the target";
    if (const auto interface = interface_for(settings, spec); !interface) {
        gate = std::unexpected{interface.error()};
    } else {
        spec.gate.interface.assign_cut(interface->name);
        spec.gate.interface_index = interface->index;
        gate = find(interface->index);
        const bool may_be_generic =
            wish == GateWish::Generic || (is_reserved && wish != GateWish::Require);
        if (gate && *gate == nullptr) gate = load(spec.gate, wish, may_be_generic);
        if (!gate) why = gate.error().sentence;
    }
    if (!gate) {
        if (wish == GateWish::Require || is_reserved) return gate;
        spec.gate.state = GateState::Missing;
        // "no classifier on IF: WHY; or ...": the reason alone.
        if (const std::size_t at = why.find(": "); at != std::string_view::npos)
            why = why.substr(at + 2, why.find("; or attach") - at - 2);
        spec.gate.refusal.assign_cut(why);
        return nullptr;
    }
    spec.gate = (*gate)->spec;
    if (is_reserved) spec.path = NetworkPath::Xdp;
    if (wish != GateWish::Off && !std::exchange((*gate)->drops, true))
        (*gate)->table.set_pressure_mode(PressureMode::Auto);
    add_addresses(**gate);
    watch_portals(**gate, spec);
    if (settings.gate.management_port != 0)
        (*gate)->table.set_management({.port = settings.gate.management_port,
                                       .packets_per_s = settings.gate.management_rate,
                                       .burst = settings.gate.management_rate});
    return gate;
}

std::shared_ptr<Gate> Gates::adopt(GateFiles files) {
    if (!files.has_any()) return {};
    auto table = ClassifierTable::map(files.all[GateFiles::kShared].get());
    if (!table) return {};
    const auto place = table->place();
    if (auto known = find(place.interface_index)) return known;
    auto gate = std::make_shared<Gate>();
    gate->drops = table->pressure_mode() != PressureMode::Off;
    gate->spec.state = place.is_native ? GateState::Native : GateState::Generic;
    gate->spec.interface_index = place.interface_index;
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(place.interface_index, name.data()) != nullptr)
        gate->spec.interface.assign_cut(name.data());
    gate->table = *std::move(table);
    gate->files = std::move(files);
    gates_.push_back(gate);
    return gate;
}

void Gates::look_at_addresses() {
    for (const auto& gate : all()) add_addresses(*gate);
}

std::string_view to_text(PressureMode mode) noexcept {
    switch (mode) {
    case PressureMode::Auto: return "auto";
    case PressureMode::On: return "on";
    case PressureMode::Off: return "off";
    }
    return "?";
}

std::optional<PressureMode> pressure_mode_from(std::string_view text) noexcept {
    for (const PressureMode mode : {PressureMode::Auto, PressureMode::On, PressureMode::Off})
        if (to_text(mode) == text) return mode;
    return {};
}

Json gate_json(const Gate& gate, Instant now) {
    const auto counts = gate.table.counts();
    const auto pressure = gate.table.pressure(now);
    const Instant lease = gate.table.lease_until();
    Json json;
    json["interface"] = gate.spec.interface.view();
    json["xdp"] = gate.spec.state == GateState::Native ? "native" : "generic";
    json["lease_s"] = lease > now ? static_cast<double>((lease - now).ns()) / 1e9 : 0.0;
    json["flows"] = gate.table.flow_count();
    Json& told = json["pressure"];
    told["mode"] = to_text(gate.table.pressure_mode());
    told["is_on"] = pressure.is_on;
    told["reclaims"] = pressure.reclaims;
    told["times"] = pressure.beginnings;
    if (pressure.reclaims > 0) told["last_ms_ago"] = ms_of(pressure.since_reclaim);
    told["switch_last_ms"] = ms_of(pressure.switched_in);
    told["switch_max_ms"] = ms_of(pressure.switched_in_max);
    Json& packets = json["packets"];
    packets["session_to_socket"] = counts.to_socket;
    packets["session_without_socket"] = counts.no_socket;
    packets["session_to_kernel"] = counts.to_kernel;
    packets["passed_calm"] = counts.calm;
    packets["passed_unleased"] = counts.unleased;
    packets["passed_neighbour"] = counts.neighbour;
    packets["answered"] = counts.answered;
    packets["passed_management"] = counts.management;
    packets["dropped_management"] = counts.management_excess;
    packets["dropped"] = counts.dropped;
    json["drops"] = drops_json(gate.table);
    json["drops_of_other_kinds"] = gate.table.drops_of_other_kinds();
    return json;
}

}  // namespace holdfast::daemon
