#include "netpath/classifier/table.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "netpath/classifier/zeroed.h"

namespace holdfast::netpath::classifier {

namespace {

using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kMapBytes =
    (sizeof(abi::hf_shared) + kPageBytes - 1) / kPageBytes * kPageBytes;

/// Everything that the kernel's side or another process writes is read and written through this.
template <class T>
std::atomic_ref<T> at(T& field) noexcept {
    return std::atomic_ref<T>{field};
}

std::uint64_t ns_of(Instant when) noexcept {
    return when.is_never() ? ~std::uint64_t{0}
                           : static_cast<std::uint64_t>(std::max<std::int64_t>(when.ns(), 0));
}

Instant instant_of(std::uint64_t ns) noexcept {
    constexpr auto kMax = static_cast<std::uint64_t>(INT64_MAX);
    return ns >= kMax ? Instant::never() : Instant::from_ns(static_cast<std::int64_t>(ns));
}

Duration duration_of(std::uint64_t ns) noexcept {
    return Duration::from_ns(static_cast<std::int64_t>(std::min<std::uint64_t>(ns, INT64_MAX)));
}

using Words = std::array<std::uint32_t, 4>;

/// As packets have them: the bytes of the wire in memory order.
Words words_of(const wire::IpAddress& address) noexcept {
    Words words{};
    const auto bytes = address.bytes();
    std::memcpy(words.data(), bytes.data(), bytes.size());
    return words;
}

/// The first byte lowest, as the program has it.
std::uint64_t bits_of(const wire::MacAddress& station) noexcept {
    std::uint64_t bits = 0;
    for (std::size_t i = station.bytes.size(); i > 0; --i)
        bits = (bits << 8) | std::to_integer<std::uint64_t>(station.bytes[i - 1]);
    return bits;
}

wire::IpAddress address_of(std::span<const std::uint32_t, 4> words, bool is_v6) noexcept {
    const auto bytes = std::as_bytes(words);
    return is_v6 ? wire::IpAddress::v6(bytes) : wire::IpAddress::v4(bytes.first<4>());
}

constexpr std::uint16_t on_wire(std::uint16_t port) noexcept {
    return std::endian::native == std::endian::big ? port : std::byteswap(port);
}

template <class Entry>
bool is_address(const Entry& entry, const wire::IpAddress& address) noexcept {
    return entry.is_set != 0 && (entry.is_v6 != 0) == address.is_v6() &&
           std::ranges::equal(entry.words, words_of(address));
}

template <class Entry>
bool try_enter(std::span<Entry> entries, const wire::IpAddress& address) noexcept {
    for (const Entry& entry : entries)
        if (is_address(entry, address)) return true;
    const auto place = std::ranges::find(entries, 0U, &Entry::is_set);
    if (place == entries.end()) return false;
    std::ranges::copy(words_of(address), std::begin(place->words));
    place->is_v6 = address.is_v6() ? 1 : 0;
    at(place->is_set).store(1, memory_order_release);
    return true;
}

/// A flow as it stands in the table, without its state.
abi::hf_flow entry_of(FlowOwner owner, const steer::FlowRule& rule) noexcept {
    abi::hf_flow flow{};
    flow.owner = owner.raw();
    std::ranges::copy(words_of(rule.flow.remote), std::begin(flow.remote));
    std::ranges::copy(words_of(rule.flow.local), std::begin(flow.local));
    flow.remote_port = on_wire(rule.flow.remote_port);
    flow.local_port = on_wire(rule.flow.local_port);
    flow.vlan = rule.vlan.value_or(HF_VLAN_ANY);
    flow.is_v6 = rule.flow.remote.is_v6() ? 1 : 0;
    flow.any_local = rule.flow.local == wire::IpAddress{} ? 1 : 0;
    return flow;
}

std::uint32_t state_of(steer::FlowPath path) noexcept {
    return path == steer::FlowPath::Socket ? HF_FLOW_SOCKET : HF_FLOW_KERNEL;
}

bool is_same(const abi::hf_flow& there, const abi::hf_flow& wanted) noexcept {
    return there.owner == wanted.owner && std::ranges::equal(there.remote, wanted.remote) &&
           std::ranges::equal(there.local, wanted.local) &&
           there.remote_port == wanted.remote_port && there.local_port == wanted.local_port &&
           there.vlan == wanted.vlan && there.is_v6 == wanted.is_v6 &&
           there.any_local == wanted.any_local;
}

/// The places that an entry may stand in. `visit` returns true to stop.
template <class Visit>
bool any_place(abi::hf_shared& shared, const abi::hf_flow& wanted, Visit visit) noexcept {
    const std::span<const std::uint32_t, 4> remote{wanted.remote};
    const std::uint32_t begin =
        abi::hf_hash_ports(abi::hf_hash_address(remote[0], remote[1], remote[2], remote[3]),
                           wanted.remote_port, wanted.local_port);
    const std::span flows{shared.flows};
    for (std::uint32_t i = 0; i < HF_PROBES; ++i)
        if (visit(flows[(begin + i) % HF_FLOWS])) return true;
    return false;
}

/// The fields behind state and owner.
void write_flow(abi::hf_flow& place, const abi::hf_flow& wanted, std::uint32_t state) noexcept {
    HF_ASSERT(at(place.state).load(memory_order_relaxed) == HF_FLOW_CLAIMED);
    place.owner = wanted.owner;
    std::ranges::copy(wanted.remote, std::begin(place.remote));
    std::ranges::copy(wanted.local, std::begin(place.local));
    place.remote_port = wanted.remote_port;
    place.local_port = wanted.local_port;
    place.vlan = wanted.vlan;
    place.is_v6 = wanted.is_v6;
    place.any_local = wanted.any_local;
    at(place.state).store(state, memory_order_release);
}

std::uint64_t sum_of(const abi::hf_shared& shared, abi::hf_reason reason) noexcept {
    std::uint64_t sum = 0;
    for (const abi::hf_counters& one : shared.counters) sum += std::span{one.packets}[reason];
    return sum;
}

abi::hf_shared* map_pages(int fd) noexcept {
    void* const pages = ::mmap(nullptr, kMapBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return pages == MAP_FAILED ? nullptr : static_cast<abi::hf_shared*>(pages);
}

}  // namespace

ClassifierTable::ClassifierTable(ClassifierTable&& other) noexcept
    : shared_(std::exchange(other.shared_, nullptr)) {}

ClassifierTable& ClassifierTable::operator=(ClassifierTable&& other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
}

ClassifierTable::~ClassifierTable() {
    if (shared_ != nullptr) ::munmap(shared_, kMapBytes);
}

OrErrno<ClassifierTable> ClassifierTable::map(int shared_fd) noexcept {
    ClassifierTable table{map_pages(shared_fd)};
    if (!table.is_mapped()) return std::unexpected{Errno::last()};
    if (table.shared_->version != HF_ABI_VERSION) return std::unexpected{Errno{EPROTO}};
    return table;
}

OrErrno<ClassifierTable> ClassifierTable::map_fresh(int shared_fd) noexcept {
    ClassifierTable table{map_pages(shared_fd)};
    if (!table.is_mapped()) return std::unexpected{Errno::last()};
    if (table.shared_->version != 0) return std::unexpected{Errno{EEXIST}};
    at(table.shared_->version).store(HF_ABI_VERSION, memory_order_release);
    return table;
}

ClassifierTable::Place ClassifierTable::place() const noexcept {
    return {.interface_index = at(shared().interface_index).load(memory_order_relaxed),
            .is_native = at(shared().is_native).load(memory_order_relaxed) != 0};
}

void ClassifierTable::set_place(const Place& place) const noexcept {
    at(shared().is_native).store(place.is_native ? 1 : 0, memory_order_relaxed);
    at(shared().interface_index).store(place.interface_index, memory_order_relaxed);
}

abi::hf_shared& ClassifierTable::shared() const noexcept {
    HF_ASSERT(is_mapped());
    return *shared_;
}

void ClassifierTable::renew_lease(Instant now) const noexcept {
    const std::uint64_t until = ns_of(now + kLease);
    auto lease = at(shared().lease_until_ns);
    auto there = lease.load(memory_order_relaxed);
    while (there < until && !lease.compare_exchange_weak(there, until, memory_order_relaxed)) {
    }
}

Instant ClassifierTable::lease_until() const noexcept {
    return instant_of(at(shared().lease_until_ns).load(memory_order_relaxed));
}

bool ClassifierTable::try_add_flow(FlowOwner owner, const steer::FlowRule& rule) const noexcept {
    HF_ASSERT(owner.raw() != 0 && rule.flow.remote_port != 0);
    const abi::hf_flow wanted = entry_of(owner, rule);
    const std::uint32_t state = state_of(rule.path);
    const std::span<const std::uint32_t, 4> remote{wanted.remote};
    const std::uint32_t bit = abi::hf_remote_bit(
        abi::hf_hash_address(remote[0], remote[1], remote[2], remote[3]), wanted.remote_port);
    const bool is_there = any_place(shared(), wanted, [&](abi::hf_flow& place) {
        const auto found = at(place.state).load(memory_order_acquire);
        return found == state && is_same(place, wanted);
    });
    if (is_there) return true;
    // Before the flow is there; it is never taken back, because others may share the bit.
    at(std::span{shared().remotes}[bit / 64]).fetch_or(std::uint64_t{1} << (bit % 64));
    return any_place(shared(), wanted, [&](abi::hf_flow& place) {
        auto free = std::uint32_t{HF_FLOW_FREE};
        if (!at(place.state).compare_exchange_strong(free, HF_FLOW_CLAIMED)) return false;
        write_flow(place, wanted, state);
        return true;
    });
}

void ClassifierTable::remove_flow(FlowOwner owner, const steer::FlowRule& rule) const noexcept {
    const abi::hf_flow wanted = entry_of(owner, rule);
    const std::uint32_t state = state_of(rule.path);
    any_place(shared(), wanted, [&](abi::hf_flow& place) {
        const auto found = at(place.state).load(memory_order_acquire);
        if (found != state || !is_same(place, wanted)) return false;
        at(place.state).store(HF_FLOW_FREE, memory_order_release);
        return true;
    });
}

void ClassifierTable::remove_flows_of(FlowOwner owner) const noexcept {
    for (abi::hf_flow& place : shared().flows) {
        // One that its owner died over while claiming it is the owner's, too, or nobody's.
        if (at(place.state).load(memory_order_acquire) == HF_FLOW_FREE) continue;
        if (place.owner == owner.raw()) at(place.state).store(HF_FLOW_FREE, memory_order_release);
    }
}

std::span<wire::Flow> ClassifierTable::socket_flows_of(FlowOwner owner,
                                                       std::span<wire::Flow> into) const noexcept {
    std::size_t count = 0;
    for (abi::hf_flow& place : shared().flows) {
        if (count == into.size()) break;
        if (at(place.state).load(memory_order_acquire) != HF_FLOW_SOCKET) continue;
        if (place.owner != owner.raw()) continue;
        into[count++] = {.local = address_of(std::span{place.local}, place.is_v6 != 0),
                         .remote = address_of(std::span{place.remote}, place.is_v6 != 0),
                         .local_port = on_wire(place.local_port),
                         .remote_port = on_wire(place.remote_port)};
    }
    return into.first(count);
}

std::size_t ClassifierTable::flow_count() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(shared().flows, [](abi::hf_flow& flow) {
        return at(flow.state).load(memory_order_relaxed) >= HF_FLOW_KERNEL;
    }));
}

bool ClassifierTable::try_add_address(const wire::IpAddress& address) const noexcept {
    return try_enter(std::span<abi::hf_address>{shared().addresses}, address);
}

void ClassifierTable::clear_addresses() const noexcept {
    for (abi::hf_address& one : shared().addresses) {
        at(one.is_set).store(0, memory_order_release);
        at(one.station).store(0, memory_order_relaxed);
    }
}

bool ClassifierTable::try_answer_for(const wire::IpAddress& address,
                                     const wire::MacAddress& station) const noexcept {
    HF_ASSERT(!station.is_group() && station != wire::MacAddress{});
    if (!try_add_address(address)) return false;
    for (abi::hf_address& one : shared().addresses)
        if (is_address(one, address)) at(one.station).store(bits_of(station));
    return true;
}

bool ClassifierTable::try_watch_neighbour(const wire::IpAddress& address) const noexcept {
    return try_enter(std::span<abi::hf_neighbour>{shared().neighbours}, address);
}

std::optional<ClassifierTable::Neighbour> ClassifierTable::neighbour(
    const wire::IpAddress& address) const noexcept {
    for (abi::hf_neighbour& one : shared().neighbours) {
        if (!is_address(one, address)) continue;
        const std::uint64_t seen = at(one.seen_ns).load(memory_order_acquire);
        if (seen == 0) return {};
        Neighbour heard{.station = {}, .seen = instant_of(seen)};
        std::uint64_t station = at(one.station).load(memory_order_relaxed);
        for (std::byte& byte : heard.station.bytes) {
            byte = static_cast<std::byte>(station & 0xff);
            station >>= 8;
        }
        return heard;
    }
    return {};
}

void ClassifierTable::set_pressure_mode(PressureMode mode) const noexcept {
    static_assert(static_cast<std::uint32_t>(PressureMode::On) == HF_PRESSURE_ON);
    static_assert(static_cast<std::uint32_t>(PressureMode::Off) == HF_PRESSURE_OFF);
    at(shared().pressure_mode).store(static_cast<std::uint32_t>(mode), memory_order_relaxed);
}

PressureMode ClassifierTable::pressure_mode() const noexcept {
    const std::uint32_t mode = at(shared().pressure_mode).load(memory_order_relaxed);
    return mode > HF_PRESSURE_OFF ? PressureMode::Auto : static_cast<PressureMode>(mode);
}

void ClassifierTable::note_pressure(Instant until) const noexcept {
    at(shared().psi_until_ns).store(ns_of(until), memory_order_relaxed);
}

void ClassifierTable::set_pressure_hold(Duration hold) const noexcept {
    at(shared().pressure_hold_ns)
        .store(static_cast<std::uint64_t>(hold.ns()), memory_order_relaxed);
}

void ClassifierTable::set_pressure_stall(Duration stall) const noexcept {
    at(shared().pressure_stall_ns)
        .store(static_cast<std::uint64_t>(stall.ns()), memory_order_relaxed);
}

void ClassifierTable::set_management(const ManagementPort& management) const noexcept {
    HF_ASSERT(management.port == 0 || management.packets_per_s > 0);
    constexpr std::uint64_t kSecond = 1'000'000'000;
    const std::uint64_t cost = kSecond / std::max(management.packets_per_s, 1U);
    const std::uint64_t more = management.burst > 0 ? management.burst - 1 : 0;
    at(shared().management_cost_ns).store(cost, memory_order_relaxed);
    at(shared().management_burst_ns).store(cost * more, memory_order_relaxed);
    at(shared().management_port).store(on_wire(management.port), memory_order_release);
}

PacketCounts ClassifierTable::counts() const noexcept {
    const abi::hf_shared& all = shared();
    return {.unleased = sum_of(all, abi::HF_UNLEASED),
            .to_socket = sum_of(all, abi::HF_TO_SOCKET),
            .no_socket = sum_of(all, abi::HF_NO_SOCKET),
            .to_kernel = sum_of(all, abi::HF_TO_KERNEL),
            .calm = sum_of(all, abi::HF_CALM),
            .neighbour = sum_of(all, abi::HF_NEIGHBOUR),
            .management = sum_of(all, abi::HF_MANAGEMENT),
            .management_excess = sum_of(all, abi::HF_MANAGEMENT_EXCESS),
            .dropped = sum_of(all, abi::HF_DROPPED),
            .answered = sum_of(all, abi::HF_ANSWERED)};
}

PressureFacts ClassifierTable::pressure(Instant now) const noexcept {
    abi::hf_shared& all = shared();
    const std::uint64_t now_ns = ns_of(now);
    const std::uint64_t reclaim = at(all.reclaim_ns).load(memory_order_relaxed);
    const std::uint64_t hold = at(all.pressure_hold_ns).load(memory_order_relaxed);
    const std::uint64_t waiting_from = at(all.reclaiming_since_ns).load(memory_order_relaxed) +
                                       at(all.pressure_stall_ns).load(memory_order_relaxed);
    const bool is_waiting =
        at(all.reclaimers).load(memory_order_relaxed) > 0 && now_ns >= waiting_from;
    const bool is_signed = is_waiting || (reclaim != 0 && now_ns <= reclaim + hold) ||
                           now_ns < at(all.psi_until_ns).load(memory_order_relaxed);
    const PressureMode mode = pressure_mode();
    return {.is_on = mode == PressureMode::On || (mode == PressureMode::Auto && is_signed),
            .reclaims = at(all.reclaims).load(memory_order_relaxed),
            .beginnings = at(all.pressures).load(memory_order_relaxed),
            .since_reclaim = duration_of(now_ns > reclaim ? now_ns - reclaim : 0),
            .switched_in = duration_of(at(all.switch_ns).load(memory_order_relaxed)),
            .switched_in_max = duration_of(at(all.switch_max_ns).load(memory_order_relaxed))};
}

std::span<DropCount> ClassifierTable::drops(std::span<DropCount> into) const noexcept {
    std::size_t count = 0;
    for (abi::hf_drops& one : shared().drops) {
        const std::uint64_t kind = at(one.kind).load(memory_order_acquire);
        if (kind == 0 || count == into.size()) continue;
        const auto protocol = static_cast<std::uint16_t>((kind >> 16) & 0xffff);
        const auto port = static_cast<std::uint16_t>(kind & 0xffff);
        const bool is_ip = protocol != HF_NOT_IP;
        into[count++] = {.is_ip = is_ip,
                         .protocol = is_ip ? protocol : port,
                         .port = is_ip ? port : std::uint16_t{0},
                         .packets = at(one.packets).load(memory_order_relaxed)};
    }
    return into.first(count);
}

std::uint64_t ClassifierTable::drops_of_other_kinds() const noexcept {
    return at(shared().drops_of_other_kinds).load(memory_order_relaxed);
}

OrErrno<void> put_socket(int sockets_fd, std::uint32_t queue, int socket_fd) noexcept {
    if (queue >= HF_SOCKETS) return std::unexpected{Errno{ERANGE}};
    const auto value = static_cast<std::uint32_t>(socket_fd);
    auto change = zeroed<bpf_attr>();
    change.map_fd = static_cast<std::uint32_t>(sockets_fd);
    change.key = std::bit_cast<std::uintptr_t>(&queue);
    change.value = std::bit_cast<std::uintptr_t>(&value);
    change.flags = BPF_ANY;
    if (::syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &change, sizeof change) != 0)
        return std::unexpected{Errno::last()};
    return {};
}

OrErrno<std::uint32_t> linked_interface(int link_fd) noexcept {
    auto info = zeroed<bpf_link_info>();
    auto question = zeroed<bpf_attr>();
    question.info.bpf_fd = static_cast<std::uint32_t>(link_fd);
    question.info.info_len = sizeof info;
    question.info.info = std::bit_cast<std::uintptr_t>(&info);
    if (::syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &question, sizeof question) != 0)
        return std::unexpected{Errno::last()};
    if (info.type != BPF_LINK_TYPE_XDP || info.xdp.ifindex == 0)
        return std::unexpected{Errno{ENODEV}};
    return info.xdp.ifindex;
}

}  // namespace holdfast::netpath::classifier
