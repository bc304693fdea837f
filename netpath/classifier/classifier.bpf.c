// The classifier: an XDP program that runs in the driver, before any packet memory is allocated,
// and the programs on the kernel's reclaim events that tell it about pressure.
//
// The decision is specified by netpath/steer; a test shows that both agree. Nothing here waits,
// allocates or follows a structure of the kernel, so that one object serves every kernel from 5.18.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "netpath/classifier/abi.h"

struct hf_shared shared SEC(".data.shared");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, HF_SOCKETS);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

#define IPPROTO_ICMPV6 58  // linux/in6.h wants more of libc than there is here.
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12
#define ICMP_NEEDS_FRAGMENTING 4
#define ICMP6_ERRORS_MAX 4
#define ICMP6_TOO_BIG 2
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

/// A network header that was understood.
struct net {
    __u32 from[4];
    __u32 to[4];
    void* payload;
    __u32 protocol;
    __u32 hop_limit;
    __u32 is_v6;
    __u32 is_whole;  // No fragment; every extension was stepped over.
    __u32 is_first;  // Its payload begins with the transport's header.
};

/// What is known of a packet, for the decision.
struct packet {
    struct net net;
    void* begin;
    void* end;
    __u64 now;
    __u32 vlan;
    __u32 kind_protocol;  // For counting: hf_drop_kind().
    __u32 kind_port;
    __u32 is_tagged;
    __u32 is_arp;
    __u32 is_neighbourly;  // ARP or neighbour discovery between us and whom we talk to.
};

static __always_inline void load_words(__u32 into[4], const void* from, int count) {
    const __u32* words = from;
    into[0] = words[0];
    into[1] = count == 4 ? words[1] : 0;
    into[2] = count == 4 ? words[2] : 0;
    into[3] = count == 4 ? words[3] : 0;
}

static __always_inline int same_words(const __u32 a[4], const __u32 b[4]) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/// One of the extension headers that nobody steps over.
static __always_inline int is_other_extension(__u32 protocol) {
    return protocol == 43 || protocol == 44 || protocol == 50 || protocol == 51 ||
           protocol == 135 || protocol == 139;
}

/// 0: not an IPv4 header.
static __always_inline int read_ipv4(struct net* net, void* at, void* end) {
    const __u8* bytes = at;
    if (at + 20 > end || bytes[0] >> 4 != 4) return 0;
    const __u32 header = (bytes[0] & 15) * 4;
    if (header < 20 || at + header > end) return 0;
    net->protocol = bytes[9];
    net->hop_limit = bytes[8];
    net->is_v6 = 0;
    net->is_whole = ((bytes[6] & 0x3f) | bytes[7]) == 0;  // More fragments, or an offset.
    net->is_first = ((bytes[6] & 0x1f) | bytes[7]) == 0;
    load_words(net->from, at + 12, 1);
    load_words(net->to, at + 16, 1);
    net->payload = at + header;
    return 1;
}

/// 0: not an IPv6 header.
static __always_inline int read_ipv6(struct net* net, void* at, void* end) {
    const __u8* bytes = at;
    if (at + 40 > end || bytes[0] >> 4 != 6) return 0;
    __u32 next = bytes[6];
    void* payload = at + 40;
    net->is_v6 = 1;
    net->is_whole = 0;
    net->is_first = 0;
    net->hop_limit = bytes[7];
    net->protocol = next;
    net->payload = payload;
    load_words(net->from, at + 8, 4);
    load_words(net->to, at + 24, 4);
#pragma unroll
    for (__u32 i = 0; i < HF_EXTENSIONS; ++i) {
        if (next != 0 && next != 60) break;
        const __u8* extension = payload;
        if (payload + 8 > end) return 1;
        const __u32 following = extension[0];
        payload += extension[1] * 8 + 8;
        if (payload > end) return 1;
        next = following;
        net->protocol = next;
        net->payload = payload;
    }
    net->is_whole = next != 0 && next != 60 && !is_other_extension(next);
    net->is_first = net->is_whole;
    return 1;
}

/// A segment's two ends, as the table has them.
struct key {
    __u32 remote[4];
    __u32 local[4];
    __u16 remote_port;
    __u16 local_port;
    __u32 vlan;
    __u32 is_v6;
};

static __always_inline __u32 state_at(const struct key* key, __u16 local_port) {
    const __u32* remote = key->remote;
    const __u32 begin = hf_hash_ports(hf_hash_address(remote[0], remote[1], remote[2], remote[3]),
                                      key->remote_port, local_port);
    for (__u32 i = 0; i < HF_PROBES; ++i) {
        const struct hf_flow* flow = &shared.flows[(begin + i) & (HF_FLOWS - 1)];
        const __u32 state = *(volatile const __u32*)&flow->state;
        if (state < HF_FLOW_KERNEL) continue;
        if (flow->local_port != local_port || flow->remote_port != key->remote_port) continue;
        if (flow->is_v6 != key->is_v6 || !same_words(flow->remote, key->remote)) continue;
        if (!flow->any_local && !same_words(flow->local, key->local)) continue;
        if (flow->vlan != HF_VLAN_ANY && flow->vlan != key->vlan) continue;
        return state;
    }
    return HF_FLOW_FREE;
}

// Functions that are not static are verified once, for all callers together.

/// The state of the session's flow; HF_FLOW_FREE when it is nobody's.
__noinline int look_up(const struct key* key) {
    if (!key) return HF_FLOW_FREE;
    const __u32 bit = hf_remote_bit(
        hf_hash_address(key->remote[0], key->remote[1], key->remote[2], key->remote[3]),
        key->remote_port);
    if (!(shared.remotes[bit / 64] >> (bit % 64) & 1)) return HF_FLOW_FREE;
    const __u32 exact = state_at(key, key->local_port);
    if (exact != HF_FLOW_FREE || key->local_port == 0) return exact;
    return state_at(key, 0);
}

static __always_inline int counted(enum hf_reason reason, int verdict) {
    const __u32 cpu = bpf_get_smp_processor_id() & (HF_CPUS - 1);
    __sync_fetch_and_add(&shared.counters[cpu].packets[reason], 1);
    return verdict;
}

/// HF_FLOW_FREE when the segment in `net` is no session's. `quoted`: it is one of ours.
static __always_inline __u32 flow_of(const struct packet* packet, const struct net* net,
                                     int quoted) {
    if (net->protocol != IPPROTO_TCP) return HF_FLOW_FREE;
    const __u16* port = net->payload;
    struct key key = {.vlan = packet->vlan, .is_v6 = net->is_v6};
    if (net->payload + 4 > packet->end) return HF_FLOW_FREE;
    __builtin_memcpy(key.remote, quoted ? net->to : net->from, 16);
    __builtin_memcpy(key.local, quoted ? net->from : net->to, 16);
    key.remote_port = port[quoted ? 1 : 0];
    key.local_port = port[quoted ? 0 : 1];
    return look_up(&key);
}

/// An ICMP error about a session's segment. The kernel's TCP can wait for all of them but one.
static __always_inline __u32 icmp_flow_of(const struct packet* packet) {
    const struct net* net = &packet->net;
    const __u8* icmp = net->payload;
    struct net quoted = {};
    int too_big;
    if (net->protocol != (net->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return HF_FLOW_FREE;
    if (net->payload + 8 > packet->end) return HF_FLOW_FREE;
    const __u32 type = icmp[0];
    if (net->is_v6) {
        if (type < 1 || type > ICMP6_ERRORS_MAX) return HF_FLOW_FREE;
        too_big = type == ICMP6_TOO_BIG;
        if (!read_ipv6(&quoted, net->payload + 8, packet->end)) return HF_FLOW_FREE;
    } else {
        if (type != ICMP_UNREACHABLE && type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETER)
            return HF_FLOW_FREE;
        too_big = type == ICMP_UNREACHABLE && icmp[1] == ICMP_NEEDS_FRAGMENTING;
        if (!read_ipv4(&quoted, net->payload + 8, packet->end)) return HF_FLOW_FREE;
    }
    if (!quoted.is_first) return HF_FLOW_FREE;
    const __u32 state = flow_of(packet, &quoted, 1);
    return state == HF_FLOW_KERNEL && !too_big ? HF_FLOW_FREE : state;
}

static __always_inline __u32 session_of(const struct packet* packet) {
    if (!packet->net.is_whole) return HF_FLOW_FREE;
    if (packet->net.protocol == IPPROTO_TCP) return flow_of(packet, &packet->net, 0);
    return icmp_flow_of(packet);
}

/// An address of any version.
struct words {
    __u32 word[4];
    __u32 is_v6;
};

__noinline int is_our_address(const struct words* words) {
    if (!words) return 0;
    for (__u32 i = 0; i < HF_ADDRESSES; ++i) {
        const struct hf_address* one = &shared.addresses[i];
        if (one->is_set && one->is_v6 == words->is_v6 && same_words(one->words, words->word))
            return 1;
    }
    return 0;
}

/// Whether `words` is the address of somebody whom we send to; if so, and `station` is not 0, that
/// is where he is.
__noinline int is_neighbour(const struct words* words, __u64 station, __u64 now) {
    if (!words) return 0;
    for (__u32 i = 0; i < HF_NEIGHBOURS; ++i) {
        struct hf_neighbour* one = &shared.neighbours[i];
        if (!one->is_set || one->is_v6 != words->is_v6 || !same_words(one->words, words->word))
            continue;
        if (station != 0) {
            one->station = station;
            one->seen_ns = now;
        }
        return 1;
    }
    return 0;
}

/// Its first byte lowest; 0 for a group's, which is nobody's own.
static __always_inline __u64 station_at(const __u8* bytes) {
    if (bytes[0] & 1) return 0;
    return bytes[0] | ((__u64)bytes[1] << 8) | ((__u64)bytes[2] << 16) | ((__u64)bytes[3] << 24) |
           ((__u64)bytes[4] << 32) | ((__u64)bytes[5] << 40);
}

/// RFC 826, for IPv4 over Ethernet.
static __always_inline int is_arp_for_us(void* at, void* end, __u64 now) {
    const __u8* bytes = at;
    const __u16* words = at;
    struct words sender = {};
    struct words target = {};
    if (at + 28 > end) return 0;
    if (words[0] != bpf_htons(1) || words[1] != bpf_htons(ETH_P_IP)) return 0;
    if (bytes[4] != 6 || bytes[5] != 4) return 0;
    if (words[3] != bpf_htons(1) && words[3] != bpf_htons(2)) return 0;
    // Addresses stand on odd words here.
    __builtin_memcpy(sender.word, at + 14, 4);
    __builtin_memcpy(target.word, at + 24, 4);
    const int known = is_neighbour(&sender, station_at(at + 8), now);
    return known | is_our_address(&target);
}

/// Over a message of ND_BYTES and its addresses, folded. 0xffff: its checksum is right. RFC 4443
/// section 2.3.
#define ND_BYTES 32
static __always_inline __u32 nd_sum(const __u32 from[4], const __u32 to[4], void* message) {
    __u32 pseudo[10];
    __builtin_memcpy(pseudo, from, 16);
    __builtin_memcpy(pseudo + 4, to, 16);
    pseudo[8] = bpf_htonl(ND_BYTES);
    pseudo[9] = bpf_htonl(IPPROTO_ICMPV6);
    __s64 sum = bpf_csum_diff(0, 0, pseudo, sizeof(pseudo), 0);
    sum = bpf_csum_diff(0, 0, message, ND_BYTES, (__u32)sum);
    __u32 folded = ((__u32)sum & 0xffff) + ((__u32)sum >> 16);
    return (folded & 0xffff) + (folded >> 16);
}

static __always_inline int is_nd_sound(const struct net* net, void* message) {
    return nd_sum(net->from, net->to, message) == 0xffff;
}

/// Where the message says that its sender is: 0 when it does not.
static __always_inline __u64 nd_station(const struct packet* packet, int solicitation) {
    const __u8* bytes = packet->net.payload;
    if (packet->net.payload + ND_BYTES > packet->end) return 0;
    if (bytes[24] != (solicitation ? 1 : 2) || bytes[25] != 1) return 0;
    return is_nd_sound(&packet->net, packet->net.payload) ? station_at(bytes + 26) : 0;
}

/// RFC 4861 sections 4.3, 4.4 and 7.1.
static __always_inline int is_nd_for_us(const struct packet* packet) {
    const struct net* net = &packet->net;
    const __u8* bytes = net->payload;
    struct words target = {.is_v6 = 1};
    struct words from = {.is_v6 = 1};
    struct words to = {.is_v6 = 1};
    if (!net->is_whole || !net->is_v6 || net->protocol != IPPROTO_ICMPV6) return 0;
    if (net->hop_limit != 255 || net->payload + 24 > packet->end) return 0;
    const int solicitation = bytes[0] == ND_SOLICITATION;
    if ((!solicitation && bytes[0] != ND_ADVERTISEMENT) || bytes[1] != 0) return 0;
    load_words(target.word, net->payload + 8, 4);
    __builtin_memcpy(from.word, net->from, 16);
    __builtin_memcpy(to.word, net->to, 16);
    const __u64 station = nd_station(packet, solicitation);
    if (solicitation && station != 0) is_neighbour(&from, station, packet->now);
    const int known = is_neighbour(&target, solicitation ? 0 : station, packet->now);
    return known | is_our_address(&target) | is_our_address(&to);
}

#include "netpath/classifier/answer.bpf.h"

static __always_inline void take_kind(struct packet* packet) {
    const struct net* net = &packet->net;
    const __u16* port = net->payload;
    packet->kind_protocol = net->protocol;
    packet->kind_port = 0;
    if (!net->is_whole || net->payload + 4 > packet->end) return;
    if (net->protocol == IPPROTO_TCP || net->protocol == IPPROTO_UDP)
        packet->kind_port = bpf_ntohs(port[1]);
    if (net->protocol == IPPROTO_ICMP || net->protocol == IPPROTO_ICMPV6)
        packet->kind_port = *(const __u8*)net->payload;
}

/// Pressure since `began`, and from `now` on for as long as one sign lasts.
static __always_inline void press(__u64 now, __u64 began) {
    const __u64 last = *(volatile __u64*)&shared.reclaim_ns;
    if (last != 0 && now <= last + shared.pressure_hold_ns) {
        if (now > last + HF_SIGN_STEP_NS) shared.reclaim_ns = now;
        return;
    }
    // Of several CPUs that see the beginning one counts it.
    shared.pressed_ns = began;
    if (__sync_val_compare_and_swap(&shared.reclaim_ns, last, now) == last)
        __sync_fetch_and_add(&shared.pressures, 1);
}

/// Somebody who needs memory has been reclaiming for longer than that is no sign.
static __always_inline int is_waiting(__u64 now) {
    const __s64 reclaimers = *(volatile __s64*)&shared.reclaimers;
    const __u64 since = *(volatile __u64*)&shared.reclaiming_since_ns;
    return reclaimers > 0 && now >= since + shared.pressure_stall_ns;
}

/// Pressure by the signs of the kernel; its first packet measures how long the switch took.
static __always_inline int is_reclaiming(__u64 now) {
    if (is_waiting(now)) press(now, shared.reclaiming_since_ns + shared.pressure_stall_ns);
    const __u64 last = *(volatile __u64*)&shared.reclaim_ns;
    if (last == 0 || now > last + shared.pressure_hold_ns) return 0;
    const __u64 pressures = shared.pressures;
    if (shared.switched_of != pressures) {
        const __u64 began = shared.pressed_ns;
        shared.switched_of = pressures;
        shared.switch_ns = now > began ? now - began : 0;
        if (shared.switch_ns > shared.switch_max_ns) shared.switch_max_ns = shared.switch_ns;
    }
    return 1;
}

static __always_inline int is_pressed(__u64 now) {
    if (shared.pressure_mode == HF_PRESSURE_ON) return 1;
    if (shared.pressure_mode == HF_PRESSURE_OFF) return 0;
    return is_reclaiming(now) || now < shared.psi_until_ns;
}

/// The token bucket: steer::TokenBucket. Whoever loses the race too often is beyond the rate.
static __always_inline int try_take_token(__u64 now) {
    for (int i = 0; i < 4; ++i) {
        const __u64 next = *(volatile __u64*)&shared.management_next_ns;
        const __u64 due = next > now ? next : now;
        if (due - now > shared.management_burst_ns) return 0;
        const __u64 after = due + shared.management_cost_ns;
        if (__sync_val_compare_and_swap(&shared.management_next_ns, next, after) == next) return 1;
    }
    return 0;
}

static __always_inline void count_drop(const struct packet* packet) {
    const __u64 kind = hf_drop_kind(packet->kind_protocol, packet->kind_port);
    const __u32 begin = (packet->kind_port * 31 + packet->kind_protocol) * 0x9e3779b1u >> 16;
    for (__u32 i = 0; i < HF_DROP_PROBES; ++i) {
        struct hf_drops* one = &shared.drops[(begin + i) & (HF_DROP_KINDS - 1)];
        __u64 there = *(volatile __u64*)&one->kind;
        if (there == 0) there = __sync_val_compare_and_swap(&one->kind, 0, kind);
        if (there != 0 && there != kind) continue;
        __sync_fetch_and_add(&one->packets, 1);
        return;
    }
    __sync_fetch_and_add(&shared.drops_of_other_kinds, 1);
}

static __always_inline int dropped(const struct packet* packet, enum hf_reason reason) {
    count_drop(packet);
    return counted(reason, XDP_DROP);
}

/// What is nobody's session's.
static __always_inline int judge_rest(const struct packet* packet) {
    if (!is_pressed(packet->now)) return counted(HF_CALM, XDP_PASS);
    if (packet->is_neighbourly) {
        if (try_answer(packet)) return counted(HF_ANSWERED, XDP_TX);
        return counted(HF_NEIGHBOUR, XDP_PASS);
    }
    const __u16 port = shared.management_port;
    if (port == 0 || packet->kind_protocol != IPPROTO_TCP || packet->kind_port != bpf_ntohs(port))
        return dropped(packet, HF_DROPPED);
    if (try_take_token(packet->now)) return counted(HF_MANAGEMENT, XDP_PASS);
    return dropped(packet, HF_MANAGEMENT_EXCESS);
}

/// The EtherType, host order, and the rest of the frame in `at`. 0: none that is understood.
static __always_inline __u32 read_ethernet(struct packet* packet, void** at) {
    const __u16* head = *at;
    if (*at + 14 > packet->end) return 0;
    __u32 type = bpf_ntohs(head[6]);
    *at += 14;
    if (type == ETH_P_8021Q) {
        head = *at;
        if (*at + 4 > packet->end) return 0;
        packet->vlan = bpf_ntohs(head[0]) & 0xfff;
        packet->is_tagged = 1;
        type = bpf_ntohs(head[1]);
        *at += 4;
    }
    // Below ETH_P_802_3_MIN it is a length.
    return type == ETH_P_8021Q || type < ETH_P_802_3_MIN ? 0 : type;
}

SEC("xdp.frags")
int classify(struct xdp_md* ctx) {
    struct packet packet = {};
    void* at = (void*)(long)ctx->data;
    int is_ip = 0;
    packet.begin = at;
    packet.end = (void*)(long)ctx->data_end;
    packet.now = bpf_ktime_get_ns();
    if (packet.now > shared.lease_until_ns) return counted(HF_UNLEASED, XDP_PASS);
    const __u32 type = read_ethernet(&packet, &at);
    if (type == ETH_P_IP) is_ip = read_ipv4(&packet.net, at, packet.end);
    if (type == ETH_P_IPV6) is_ip = read_ipv6(&packet.net, at, packet.end);
    if (!is_ip) {
        packet.kind_protocol = HF_NOT_IP;
        packet.kind_port = type;
        packet.is_arp = type == ETH_P_ARP;
        if (packet.is_arp) packet.is_neighbourly = is_arp_for_us(at, packet.end, packet.now);
        return judge_rest(&packet);
    }
    const __u32 state = session_of(&packet);
    if (state == HF_FLOW_KERNEL) return counted(HF_TO_KERNEL, XDP_PASS);
    if (state == HF_FLOW_SOCKET) {
        // A kernel that got it would answer with a reset: it knows no such connection.
        const int verdict = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
        return counted(verdict == XDP_REDIRECT ? HF_TO_SOCKET : HF_NO_SOCKET, verdict);
    }
    take_kind(&packet);
    packet.is_neighbourly = is_nd_for_us(&packet);
    return judge_rest(&packet);
}

/// A task has no memory to take and begins to free some by itself.
SEC("raw_tp")
int on_reclaim_begin(void* ctx) {
    (void)ctx;
    __sync_fetch_and_add(&shared.reclaims, 1);
    if (*(volatile __s64*)&shared.reclaimers <= 0) shared.reclaiming_since_ns = bpf_ktime_get_ns();
    __sync_fetch_and_add(&shared.reclaimers, 1);
    return 0;
}

/// It has some, or gave up. Time in which anybody was at it is summed up in windows.
SEC("raw_tp")
int on_reclaim_end(void* ctx) {
    const __u64 now = bpf_ktime_get_ns();
    const __s64 before = __sync_fetch_and_add(&shared.reclaimers, -1);
    (void)ctx;
    if (before <= 0) __sync_fetch_and_add(&shared.reclaimers, 1);  // Its beginning was not seen.
    if (before != 1) return 0;
    if (now > shared.window_ns + HF_STALL_WINDOW_NS) {
        shared.window_ns = now;
        shared.window_stall_ns = 0;
    }
    shared.window_stall_ns += now - shared.reclaiming_since_ns;
    if (shared.window_stall_ns >= shared.pressure_stall_ns) press(now, now);
    return 0;
}

/// kswapd sleeps when there is memory again: whoever was counted and not seen to end is forgotten.
SEC("raw_tp")
int on_reclaim_over(void* ctx) {
    (void)ctx;
    *(volatile __s64*)&shared.reclaimers = 0;
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
