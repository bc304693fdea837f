/// What the classifier's BPF programs and user space share: the layout of one array map that both
/// sides map or see directly. C, because clang compiles it for the BPF machine as well.
///
/// User space writes everything but the counters, the reclaim stamp, the neighbours' stations, the
/// times of answers and the table of drops. Every field has its natural alignment, so that each is
/// read and written whole. Times are nanoseconds of CLOCK_MONOTONIC, ports and addresses stand as
/// on the wire.
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
namespace holdfast::netpath::classifier::abi {
#endif

/// Changes with every change of this file: a table of another release is refused.
#define HF_ABI_VERSION 3u

#define HF_FLOWS 512u      /* A power of two, several times what 16 attachments can have. */
#define HF_PROBES 16u      /* Places a flow may stand in, from its hash on. */
#define HF_ADDRESSES 16u   /* Of this host, on this interface. */
#define HF_NEIGHBOURS 8u   /* Whose Ethernet addresses are learned on the way. */
#define HF_CPUS 64u        /* Sets of counters; CPUs beyond share. A power of two. */
#define HF_DROP_KINDS 128u /* Kinds of dropped packets that are told apart. A power of two. */
#define HF_DROP_PROBES 8u
#define HF_SOCKETS 64u   /* Receive queues that may have an AF_XDP socket. */
#define HF_EXTENSIONS 4u /* IPv6 extension headers stepped over: wire::kExtensionsMax. */
#define HF_VLAN_ANY 0xffffu

/// hf_flow.state, in the order of its life.
#define HF_FLOW_FREE 0u
#define HF_FLOW_CLAIMED 1u /* Being written: matches nothing. */
#define HF_FLOW_KERNEL 2u  /* Its packets always pass to the kernel. */
#define HF_FLOW_SOCKET 3u  /* Its packets go to the AF_XDP socket of their queue. */

#define HF_STALL_WINDOW_NS 100000000ull /* Waiting for memory is summed up over that long. */
#define HF_SIGN_STEP_NS \
    1000000ull /* A newer sign that is no more than that newer is not written. */

/* A question that comes again so long after the answer is the kernel's: from, until. */
#define HF_ASKED_AGAIN_AFTER_NS 100000000ull
#define HF_ASKED_AGAIN_UNTIL_NS 3000000000ull

#define HF_REMOTE_WORDS 32u /* Of the bits that say which remote ends have flows. */

/// hf_shared.pressure_mode.
#define HF_PRESSURE_AUTO 0u
#define HF_PRESSURE_ON 1u
#define HF_PRESSURE_OFF 2u

/// What became of a packet and why; an index of hf_counters.packets.
enum hf_reason {
    HF_UNLEASED,          /* Passed: nobody renewed the lease. */
    HF_TO_SOCKET,         /* A session's, to its AF_XDP socket. */
    HF_NO_SOCKET,         /* A session's, dropped: its queue has no AF_XDP socket. */
    HF_TO_KERNEL,         /* A session's, passed. */
    HF_CALM,              /* Anything else, passed: no pressure. */
    HF_NEIGHBOUR,         /* ARP or neighbour discovery for us, passed under pressure. */
    HF_MANAGEMENT,        /* To the management port, passed under pressure. */
    HF_MANAGEMENT_EXCESS, /* To the management port, dropped: beyond its rate. */
    HF_DROPPED,           /* Anything else, dropped under pressure. */
    HF_ANSWERED,          /* Asked for an address of ours, answered under pressure. */
    HF_REASONS
};

/// One session flow. `state` is written last when it begins and first when it ends.
struct hf_flow {
    __u32 state;
    __u32 owner;     /* Whose it is: the attachment's number, never 0. */
    __u32 remote[4]; /* An IPv4 address stands in the first word, the others are 0. */
    __u32 local[4];  /* Meaningless when any_local. */
    __u16 remote_port;
    __u16 local_port; /* 0: any. */
    __u16 vlan;       /* HF_VLAN_ANY, 0 for untagged, or the tag's number; host order. */
    __u8 is_v6;
    __u8 any_local;
    __u8 unused[16];
};

struct hf_address {
    __u32 words[4];
    __u32 is_set;
    __u32 is_v6;
    __u64 station;     /* We answer for it ourselves, there; 0: the kernel does. */
    __u64 answered_ns; /* When we last did. */
};

/// Whoever we send to; its station is learned from ARP and neighbour discovery that pass by.
struct hf_neighbour {
    __u32 words[4];
    __u32 is_set;
    __u32 is_v6;
    __u64 station; /* Its Ethernet address: the first byte on the wire is the lowest one. */
    __u64 seen_ns; /* 0: never. */
};

struct hf_counters {
    __u64 packets[HF_REASONS];
    __u64 unused[16 - HF_REASONS];
};

/// Dropped packets of one kind. See hf_drop_kind().
struct hf_drops {
    __u64 kind; /* 0: free. */
    __u64 packets;
};

struct hf_shared {
    __u32 version;
    __u32 pressure_mode;
    __u64 lease_until_ns;      /* Later than this everything passes. */
    __u64 pressure_hold_ns;    /* How long one sign of pressure lasts. */
    __u64 psi_until_ns;        /* Pressure that user space saw, until then. */
    __u64 management_cost_ns;  /* Time between two packets to the management port. */
    __u64 management_burst_ns; /* How far ahead of that rate a burst may be. */
    __u16 management_port;     /* 0: none. As on the wire. */
    __u16 unused_port;
    __u32 unused_word;
    __u32 interface_index; /* Where it was attached; 0: nowhere. */
    __u32 is_native;
    __u64 pressure_stall_ns; /* Somebody waits for memory so long: a sign of pressure. */
    __u64 unused_config[6];

    __u64 reclaim_ns;          /* The last sign of pressure; 0: never. Written by the kernel. */
    __u64 reclaims;            /* How often a task began to reclaim directly. */
    __u64 pressed_ns;          /* When the pressure of now, or of the last time, began. */
    __u64 pressures;           /* How often it began. */
    __u64 switch_ns;           /* From the last beginning to the first packet judged under it. */
    __u64 switch_max_ns;       /* The longest one. */
    __u64 switched_of;         /* The value of `pressures` that switch_ns belongs to. */
    __u64 management_next_ns;  /* The token bucket: when the next packet would be on time. */
    __s64 reclaimers;          /* Tasks in direct reclaim. */
    __u64 reclaiming_since_ns; /* Since when there is one. */
    __u64 window_ns;           /* Beginning of the window in which waiting is summed up. */
    __u64 window_stall_ns;     /* The sum: time in which anybody was in direct reclaim. */
    __u64 unused_state[4];

    __u64 remotes[HF_REMOTE_WORDS]; /* hf_remote_bit() of each remote end that ever had a flow. */
    struct hf_address addresses[HF_ADDRESSES];
    struct hf_neighbour neighbours[HF_NEIGHBOURS];
    struct hf_flow flows[HF_FLOWS];
    struct hf_counters counters[HF_CPUS];
    struct hf_drops drops[HF_DROP_KINDS];
    __u64 drops_of_other_kinds;
};

/// Where a flow is looked for first: hf_hash_ports(hf_hash_address(remote), ports). The local port
/// is 0 for a flow of any.
static inline __u32 hf_hash_address(__u32 first, __u32 second, __u32 third, __u32 fourth) {
    return (first * 0x9e3779b1u) ^ (second * 0x85ebca6bu) ^ (third * 0xc2b2ae35u) ^
           (fourth * 0x27d4eb2fu);
}
static inline __u32 hf_hash_ports(__u32 mix, __u16 remote_port, __u16 local_port) {
    const __u32 high = remote_port;
    mix ^= ((high << 16) | local_port) * 0x165667b1u;
    mix ^= mix >> 15;
    mix *= 0x2c1b3c6du;
    mix ^= mix >> 13;
    return mix;
}

/// Which bit of hf_shared.remotes a remote end has. A stranger's is hardly ever set, so that he is
/// known without looking for his flow.
static inline __u32 hf_remote_bit(__u32 mix, __u16 remote_port) {
    return hf_hash_ports(mix, remote_port, 0) & (HF_REMOTE_WORDS * 64 - 1);
}

/// How a dropped packet is counted: by protocol and port or type, host order. Never 0.
/// `protocol`: of IP, or HF_NOT_IP with the EtherType as `port`.
#define HF_NOT_IP 0x100u
static inline __u64 hf_drop_kind(__u32 protocol, __u32 port) {
    return (1ull << 32) | (protocol << 16) | port;
}

#ifdef __cplusplus
}  // namespace holdfast::netpath::classifier::abi
#endif
