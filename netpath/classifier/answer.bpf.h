/// Questions for an address of ours, made into their answers: netpath/steer/answer.h is the
/// specification. A part of classifier.bpf.c, which includes it.
#pragma once

#define STATION_BYTES 6
#define BROADCAST 0xffffffffffffull
#define ARP_END (14 + 28)
#define ND_END (14 + 40 + ND_BYTES)

/// All 48 bits, the first byte lowest; station_at() has no groups.
static __always_inline __u64 any_station_at(const __u8* bytes) {
    return bytes[0] | ((__u64)bytes[1] << 8) | ((__u64)bytes[2] << 16) | ((__u64)bytes[3] << 24) |
           ((__u64)bytes[4] << 32) | ((__u64)bytes[5] << 40);
}

static __always_inline void put_station(__u8* at, __u64 station) {
#pragma unroll
    for (int i = 0; i < STATION_BYTES; ++i) at[i] = station >> (8 * i);
}

/// Which place the address has, when we answer for it and are not to leave this one to the kernel;
/// HF_ADDRESSES when not.
__noinline int answered_place(const struct words* words, __u64 now) {
    if (!words) return HF_ADDRESSES;
    for (__u32 i = 0; i < HF_ADDRESSES; ++i) {
        const struct hf_address* one = &shared.addresses[i];
        if (!one->is_set || one->is_v6 != words->is_v6 || !same_words(one->words, words->word))
            continue;
        const __u64 said = one->answered_ns;
        if (said != 0 && now > said + HF_ASKED_AGAIN_AFTER_NS &&
            now < said + HF_ASKED_AGAIN_UNTIL_NS)
            return HF_ADDRESSES;
        return one->station != 0 ? i : HF_ADDRESSES;
    }
    return HF_ADDRESSES;
}

/// A host's own address, and not ours.
static __always_inline int is_others_own(const struct words* words) {
    const __u32* word = words->word;
    const __u32 first = word[0] & 0xff;  // As on the wire: the lowest byte.
    if (words->is_v6) {
        if (first == 0xff || (word[0] | word[1] | word[2] | word[3]) == 0) return 0;
    } else if (first == 0 || first == 127 || first >= 224) {
        return 0;
    }
    return !is_our_address(words);
}

/// The asker's station, as the question and its frame have it; 0: they differ, or it is a group's.
static __always_inline __u64 asker_station(const __u8* frame, const __u8* told, __u64 ours) {
    const __u64 station = station_at(told);
    return station != ours && any_station_at(frame + 6) == station ? station : 0;
}

static __always_inline void put_ends(__u8* frame, __u64 to, __u64 from) {
    put_station(frame, to);
    put_station(frame + 6, from);
}

static __noinline int answer_arp(const struct packet* packet) {
    __u8* frame = packet->begin;
    if (packet->begin + ARP_END > packet->end) return 0;
    __u8* arp = frame + 14;
    if (arp[7] != 1) return 0;
    struct words asker = {};
    struct words target = {};
    __builtin_memcpy(asker.word, arp + 14, 4);
    __builtin_memcpy(target.word, arp + 24, 4);
    const __u32 place = answered_place(&target, packet->now);
    if (place >= HF_ADDRESSES) return 0;
    struct hf_address* one = &shared.addresses[place];
    const __u64 ours = one->station;
    const __u64 to = any_station_at(frame);
    const __u64 station = asker_station(frame, arp + 8, ours);
    if (station == 0 || (to != BROADCAST && to != ours) || !is_others_own(&asker)) return 0;
    put_ends(frame, station, ours);
    arp[7] = 2;
    put_station(arp + 8, ours);
    __builtin_memcpy(arp + 14, target.word, 4);
    put_station(arp + 18, station);
    __builtin_memcpy(arp + 24, asker.word, 4);
    one->answered_ns = packet->now;
    return 1;
}

/// Whether a solicitation was sent to the target, or to its group: RFC 4291 section 2.7.1.
static __always_inline int is_sent_right(const __u8* frame, const struct words* target,
                                         __u64 ours) {
    const __u32* wanted = target->word;
    __u32 to[4];
    __builtin_memcpy(to, frame + 38, 16);
    if (same_words(to, wanted)) return any_station_at(frame) == ours;
    const __u32 last = wanted[3] | bpf_htonl(0xff000000);
    if (to[0] != bpf_htonl(0xff020000) || to[1] != 0 || to[2] != bpf_htonl(1) || to[3] != last)
        return 0;
    return any_station_at(frame) == (0x3333ull | ((__u64)last << 16));
}

static __noinline int answer_solicitation(const struct packet* packet) {
    __u8* frame = packet->begin;
    if (packet->begin + ND_END > packet->end) return 0;
    __u8* message = frame + 54;
    if (frame[20] != IPPROTO_ICMPV6 || frame[18] != 0 || frame[19] != ND_BYTES) return 0;
    if (message[8] == 0xff) return 0;  // A group's is nobody's own.
    if (message[0] != ND_SOLICITATION || message[24] != 1 || message[25] != 1) return 0;
    struct words asker = {.is_v6 = 1};
    struct words target = {.is_v6 = 1};
    __builtin_memcpy(asker.word, frame + 22, 16);
    __builtin_memcpy(target.word, message + 8, 16);
    const __u32 place = answered_place(&target, packet->now);
    if (place >= HF_ADDRESSES) return 0;
    struct hf_address* one = &shared.addresses[place];
    const __u64 ours = one->station;
    const __u64 station = asker_station(frame, message + 26, ours);
    if (station == 0 || !is_sent_right(frame, &target, ours) || !is_others_own(&asker)) return 0;
    if (!is_nd_sound(&packet->net, message)) return 0;
    put_ends(frame, station, ours);
    __builtin_memset(frame + 14, 0, 4);
    frame[14] = 0x60;
    __builtin_memcpy(frame + 22, target.word, 16);
    __builtin_memcpy(frame + 38, asker.word, 16);
    message[0] = ND_ADVERTISEMENT;
    __builtin_memset(message + 2, 0, 6);
    message[4] = 0x60;  // Solicited, and to be taken instead of what is known.
    message[24] = 2;
    put_station(message + 26, ours);
    const __u16 sum = ~nd_sum(target.word, asker.word, message);
    __builtin_memcpy(message + 2, &sum, 2);
    one->answered_ns = packet->now;
    return 1;
}

/// 1: the packet is now its answer. It was judged to be ARP or neighbour discovery for us.
static __always_inline int try_answer(const struct packet* packet) {
    if (packet->is_tagged) return 0;
    return packet->is_arp ? answer_arp(packet) : answer_solicitation(packet);
}
