/// The classifier's side in user space: one mapping of the map that its BPF programs read and
/// write. Whoever holds the mapping changes flows, renews the lease, forces pressure and reads
/// counters without a system call, an allocation or a capability: an armed I/O process may.
///
/// Effectful: the memory is shared with the kernel and with other processes. Thread: any one per
/// object; several objects and processes may map one table, each with an owner number of its own.
/// Timers: the lease. When nobody has renewed it for its length, the classifier passes everything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/strong.h"
#include "base/time.h"
#include "netpath/classifier/abi.h"
#include "netpath/steer/rule.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::classifier {

/// Who a flow belongs to, so that the flows of a dead process can be found. Never 0.
using FlowOwner = Strong<struct FlowOwnerTag, std::uint32_t>;

/// Who decides whether memory is short.
enum class PressureMode : std::uint8_t {
    Auto,  ///< The kernel's reclaim, seen by the BPF program itself; and note_pressure().
    On,    ///< Always: only what must pass does.
    Off,   ///< Never: everything passes.
};

/// One named port that may be reached under pressure, and how often. TCP.
struct ManagementPort {
    std::uint16_t port = 0;           ///< 0: none.
    std::uint32_t packets_per_s = 0;  ///< At least 1 when there is a port.
    std::uint32_t burst = 1;          ///< Packets at once.
};

/// Packets since the program was loaded, by what became of them: hf_reason.
struct PacketCounts {
    std::uint64_t unleased = 0;
    std::uint64_t to_socket = 0;
    std::uint64_t no_socket = 0;
    std::uint64_t to_kernel = 0;
    std::uint64_t calm = 0;
    std::uint64_t neighbour = 0;
    std::uint64_t management = 0;
    std::uint64_t management_excess = 0;
    std::uint64_t dropped = 0;
    std::uint64_t answered = 0;
};

/// How pressure came and went.
struct PressureFacts {
    bool is_on = false;            ///< Now, by the mode and the signs.
    std::uint64_t reclaims = 0;    ///< How often a task began to reclaim directly.
    std::uint64_t beginnings = 0;  ///< How often it began.
    Duration since_reclaim{};      ///< Since the last sign; meaningless without one.
    Duration switched_in{};        ///< From the last beginning to the first packet judged.
    Duration switched_in_max{};
};

/// Packets of one kind that were dropped under pressure.
struct DropCount {
    bool is_ip = false;
    std::uint16_t protocol = 0;  ///< Of IP; without IP the EtherType.
    std::uint16_t port = 0;      ///< Destination port of TCP and UDP, type of ICMP, or 0.
    std::uint64_t packets = 0;
};

/// See the file comment. Move-only.
class ClassifierTable {
public:
    /// How long a renewal lasts. Longer than a takeover may take (docs/watchdog.md), shorter than
    /// an administrator's patience with a host that does not answer.
    static constexpr Duration kLease = Duration::from_s(15);

    ClassifierTable() noexcept = default;
    ClassifierTable(ClassifierTable&& other) noexcept;
    ClassifierTable& operator=(ClassifierTable&& other) noexcept;
    ClassifierTable(const ClassifierTable&) = delete;
    ClassifierTable& operator=(const ClassifierTable&) = delete;
    ~ClassifierTable();

    /// Maps the table behind the descriptor, which may be closed afterwards. EPROTO: it is none of
    /// this release.
    [[nodiscard]] static OrErrno<ClassifierTable> map(int shared_fd) noexcept;

    /// The same for a map that was made this moment: for the loader.
    [[nodiscard]] static OrErrno<ClassifierTable> map_fresh(int shared_fd) noexcept;

    [[nodiscard]] bool is_mapped() const noexcept { return shared_ != nullptr; }

    /// Where the loader attached it, as it read back then.
    struct Place {
        std::uint32_t interface_index = 0;
        bool is_native = false;
    };
    [[nodiscard]] Place place() const noexcept;
    void set_place(const Place& place) const noexcept;

    /// `now`: CLOCK_MONOTONIC. Never shortens another one's lease.
    void renew_lease(Instant now) const noexcept;
    [[nodiscard]] Instant lease_until() const noexcept;

    /// False: no room within reach of its hash. A rule that is there already stays one.
    [[nodiscard]] bool try_add_flow(FlowOwner owner, const steer::FlowRule& rule) const noexcept;
    /// Nothing when it is not there.
    void remove_flow(FlowOwner owner, const steer::FlowRule& rule) const noexcept;
    void remove_flows_of(FlowOwner owner) const noexcept;
    /// The owner's connections over sockets, as many as fit `into`; what was written.
    [[nodiscard]] std::span<wire::Flow> socket_flows_of(FlowOwner owner,
                                                        std::span<wire::Flow> into) const noexcept;
    [[nodiscard]] std::size_t flow_count() const noexcept;

    /// An address of this host, whose ARP and neighbour discovery pass under pressure. False: full.
    [[nodiscard]] bool try_add_address(const wire::IpAddress& address) const noexcept;
    void clear_addresses() const noexcept;
    /// From now on the classifier itself answers for the address under pressure, which is at
    /// `station`; added when it was not there. Untagged only. False: full.
    [[nodiscard]] bool try_answer_for(const wire::IpAddress& address,
                                      const wire::MacAddress& station) const noexcept;

    /// A station on the link whose Ethernet address is to be learned from what passes by. False:
    /// full. One that is watched already stays one.
    [[nodiscard]] bool try_watch_neighbour(const wire::IpAddress& address) const noexcept;
    struct Neighbour {
        wire::MacAddress station{};
        Instant seen{};
    };
    /// Empty: not watched, or not heard of yet.
    [[nodiscard]] std::optional<Neighbour> neighbour(const wire::IpAddress& address) const noexcept;

    void set_pressure_mode(PressureMode mode) const noexcept;
    [[nodiscard]] PressureMode pressure_mode() const noexcept;
    /// Pressure that user space knows of (PSI), until then.
    void note_pressure(Instant until) const noexcept;
    /// How long one sign of pressure lasts.
    void set_pressure_hold(Duration hold) const noexcept;
    /// How long somebody must be reclaiming directly, within 100 ms, for a sign of pressure.
    void set_pressure_stall(Duration stall) const noexcept;
    void set_management(const ManagementPort& management) const noexcept;

    [[nodiscard]] PacketCounts counts() const noexcept;
    [[nodiscard]] PressureFacts pressure(Instant now) const noexcept;
    /// As many kinds as fit `into`, in no order; what was written.
    [[nodiscard]] std::span<DropCount> drops(std::span<DropCount> into) const noexcept;
    [[nodiscard]] std::uint64_t drops_of_other_kinds() const noexcept;

    /// For tests.
    [[nodiscard]] abi::hf_shared& shared() const noexcept;

private:
    explicit ClassifierTable(abi::hf_shared* shared) noexcept : shared_(shared) {}

    abi::hf_shared* shared_ = nullptr;
};

/// Puts an AF_XDP socket that is bound to `queue` into the classifier's map, so that flows of path
/// Socket reach it. One for each queue; a later one takes the place. Needs CAP_BPF or CAP_SYS_ADMIN
/// on some kernels, so before rights are dropped. The kernel removes a socket that is closed.
[[nodiscard]] OrErrno<void> put_socket(int sockets_fd, std::uint32_t queue, int socket_fd) noexcept;

/// The interface that a link of the classifier's is attached to; ENODEV when it has gone. Asks the
/// kernel, so before rights are dropped.
[[nodiscard]] OrErrno<std::uint32_t> linked_interface(int link_fd) noexcept;

}  // namespace holdfast::netpath::classifier
