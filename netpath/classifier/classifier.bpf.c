// The classifier: an XDP program that runs in the driver, before any packet memory is allocated,
// and the program on the kernel's reclaim events that tells it about pressure.
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
    void *payload;
    __u32 protocol;
    __u32 is_v6;
    __u32 is_whole;   // No fragment, no extension that is not stepped over.
};

/// What is known of a packet, for the decision.
struct packet {
    struct net net;
    __u64 now;
    void *end;
    __u32 ether_type;  // Host order; 0: not understood.
    __u32 vlan;
    __u32 kind_protocol;
    __u32 kind_port;
};

static __always_inline void load_words(__u32 into[4], const void *from, int count) {
    const __u32 *words = from;
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
static __always_inline int read_ipv4(struct net *net, void *at, void *end) {
    const __u8 *bytes = at;
    if (at + 20 > end || bytes[0] >> 4 != 4) return 0;
    const __u32 header = (bytes[0] & 15) * 4;
    if (header < 20 || at + header > end) return 0;
    net->protocol = bytes[9];
    net->is_v6 = 0;
    // More fragments, or an offset.
    net->is_whole = ((bytes[6] & 0x3f) | bytes[7]) == 0;
    load_words(net->from, at + 12, 1);
    load_words(net->to, at + 16, 1);
    net->payload = at + header;
    return 1;
}

/// 0: not an IPv6 header.
static __always_inline int read_ipv6(struct net *net, void *at, void *end) {
    const __u8 *bytes = at;
    if (at + 40 > end || bytes[0] >> 4 != 6) return 0;
    __u32 next = bytes[6];
    net->is_v6 = 1;
    net->is_whole = 0;
    load_words(net->from, at + 8, 4);
    load_words(net->to, at + 24, 4);
    void *payload = at + 40;
    net->protocol = next;
    net->payload = payload;
#pragma unroll
    for (__u32 i = 0; i < HF_EXTENSIONS; ++i) {
        if (next != 0 && next != 60) break;
        const __u8 *extension = payload;
        if (payload + 8 > end) return 1;
        next = extension[0];
        const __u32 length = extension[1] * 8 + 8;
        payload += length;
        if (payload > end) return 1;
    }
    net->protocol = next;
    net->payload = payload;
    net->is_whole = next != 0 && next != 60 && !is_other_extension(next);
    return 1;
}

/// The state of the flow, HF_FLOW_FREE when it is nobody's. Ports as on the wire.
static __always_inline __u32 look_up_at(const struct packet *packet, const __u32 remote[4],
                                        const __u32 local[4], __u32 ports, __u16 hashed_local) {
    const __u16 remote_port = (__u16)(ports >> 16);
    const __u16 local_port = (__u16)ports;
    const __u32 begin = hf_flow_hash(remote, remote_port, hashed_local);
    for (__u32 i = 0; i < HF_PROBES; ++i) {
        const struct hf_flow *flow = &shared.flows[(begin + i) & (HF_FLOWS - 1)];
        const __u32 state = *(volatile const __u32 *)&flow->state;
        if (state < HF_FLOW_KERNEL) continue;
        if (flow->local_port != hashed_local || flow->remote_port != remote_port) continue;
        if (flow->is_v6 != packet->net.is_v6 || !same_words(flow->remote, remote)) continue;
        if (!flow->any_local && !same_words(flow->local, local)) continue;
        if (flow->vlan != HF_VLAN_ANY && flow->vlan != packet->vlan) continue;
        if (hashed_local != 0 && flow->local_port != local_port) continue;
        return state;
    }
    return HF_FLOW_FREE;
}

static __noinline __u32 look_up(const struct packet *packet, const __u32 *remote,
                                const __u32 *local, __u32 ports) {
    if (!packet || !remote || !local) return HF_FLOW_FREE;
    const __u32 exact = look_up_at(packet, remote, local, ports, (__u16)ports);
    if (exact != HF_FLOW_FREE || (__u16)ports == 0) return exact;
    return look_up_at(packet, remote, local, ports, 0);
}

static __always_inline void count(enum hf_reason reason) {
    const __u32 cpu = bpf_get_smp_processor_id() & (HF_CPUS - 1);
    __sync_fetch_and_add(&shared.counters[cpu].packets[reason], 1);
}

/// Whom the packet belongs to: HF_FLOW_FREE, or a session in that state.
static __always_inline __u32 session_of(const struct packet *packet) {
    const struct net *net = &packet->net;
    if (!net->is_whole || net->protocol != IPPROTO_TCP) return HF_FLOW_FREE;
    const __u16 *port = net->payload;
    if (net->payload + 4 > packet->end) return HF_FLOW_FREE;
    return look_up(packet, net->from, net->to, ((__u32)port[0] << 16) | port[1]);
}

SEC("xdp.frags")
int classify(struct xdp_md *ctx) {
    struct packet packet = {};
    void *at = (void *)(long)ctx->data;
    packet.end = (void *)(long)ctx->data_end;
    packet.now = bpf_ktime_get_ns();
    if (packet.now > shared.lease_until_ns) {
        count(HF_UNLEASED);
        return XDP_PASS;
    }
    const __u16 *head = at;
    if (at + 14 > packet.end) goto rest;
    packet.ether_type = bpf_ntohs(head[6]);
    at += 14;
    if (packet.ether_type == ETH_P_8021Q) {
        head = at;
        if (at + 4 > packet.end) goto rest;
        packet.vlan = bpf_ntohs(head[0]) & 0xfff;
        packet.ether_type = bpf_ntohs(head[1]);
        at += 4;
    }
    if (packet.ether_type == ETH_P_IP) {
        if (!read_ipv4(&packet.net, at, packet.end)) goto rest;
    } else if (packet.ether_type == ETH_P_IPV6) {
        if (!read_ipv6(&packet.net, at, packet.end)) goto rest;
    } else {
        goto rest;
    }
    switch (session_of(&packet)) {
    case HF_FLOW_SOCKET: {
        // A kernel that got it would answer with a reset: it knows no such connection.
        const int verdict = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
        count(verdict == XDP_REDIRECT ? HF_TO_SOCKET : HF_NO_SOCKET);
        return verdict;
    }
    case HF_FLOW_KERNEL: count(HF_TO_KERNEL); return XDP_PASS;
    default: break;
    }
rest:
    count(HF_CALM);
    return XDP_PASS;
}

/// Attached to each reclaim event of the kernel that is a sign of pressure.
SEC("raw_tp")
int on_reclaim(void *ctx) {
    const __u64 now = bpf_ktime_get_ns();
    const __u64 last = shared.reclaim_ns;
    (void)ctx;
    shared.reclaim_ns = now;
    __sync_fetch_and_add(&shared.reclaims, 1);
    if (last + shared.pressure_hold_ns < now) {
        shared.pressed_ns = now;
        __sync_fetch_and_add(&shared.pressures, 1);
    }
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
