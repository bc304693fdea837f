"""Sends packets that are nobody's session at a steady rate out of a device until it is terminated.

Runs inside the run's namespace: `strays.py DEVICE GUEST_ADDRESS PACKETS_PER_S`. The kinds take
turns: UDP, TCP, ICMP, IPv6, and frames that are no IP at all. Every packet is of an odd length,
which nothing else on that link ever is: iSCSI and its segments are multiples of four. So the guest
can tell them by their length alone, wherever it counts. Prints `RIG sent_KIND=...` for each kind,
and the rate.
"""

import signal
import socket
import struct
import sys
import time

BURST_S = 0.001
FOREIGN_ADDRESS = "10.77.0.99"
FOREIGN_STATION = bytes.fromhex("020000770063")
FOREIGN_V6 = socket.inet_pton(socket.AF_INET6, "fe80::77:63")

# Name -> (EtherType, protocol, port or type, bytes behind the Ethernet header). The classifier
# counts each one apart.
KINDS = {
    "udp_9": (0x0800, 17, 9, 101),
    "udp_5353": (0x0800, 17, 5353, 1401),
    "tcp_80": (0x0800, 6, 80, 103),
    "tcp_3260": (0x0800, 6, 3260, 105),
    "icmp_8": (0x0800, 1, 8, 107),
    "udp_10": (0x86DD, 17, 10, 109),
    "tcp_81": (0x86DD, 6, 81, 111),
    "icmp6_128": (0x86DD, 58, 128, 113),
    "ether_88cc": (0x88CC, None, None, 115),
}


def checksum(data):
    """The Internet checksum, RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(protocol, port, count):
    """Header and zeros, `count` bytes; no checksum: the classifier does not look at one."""
    if protocol == 17:
        head = struct.pack("!HHHH", 40000, port, count, 0)
    elif protocol == 6:
        head = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 0x50, 0x02, 1024, 0, 0)
    else:
        head = struct.pack("!BBHHH", port, 0, 0, 1, 1)
    return head + b"\0" * (count - len(head))


def packet(kind, guest_address, guest_v6):
    """What stands behind the Ethernet header."""
    ether_type, protocol, port, count = KINDS[kind]
    if ether_type == 0x0800:
        addresses = socket.inet_aton(FOREIGN_ADDRESS) + socket.inet_aton(guest_address)
        head = struct.pack("!BBHHHBBH", 0x45, 0, count, 1, 0x4000, 64, protocol, 0) + addresses
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return head + transport(protocol, port, count - len(head))
    if ether_type == 0x86DD:
        head = struct.pack("!IHBB", 0x60000000, count - 40, protocol, 64) + FOREIGN_V6 + guest_v6
        return head + transport(protocol, port, count - len(head))
    return b"\0" * count


def link_local(station):
    """The IPv6 address that a host gives itself: RFC 4291, appendix A."""
    middle = bytes([station[0] ^ 2]) + station[1:3] + b"\xff\xfe" + station[3:]
    return b"\xfe\x80" + b"\0" * 6 + middle


def station_of(address):
    """Where the kernel has it in its table of neighbours."""
    with open("/proc/net/arp", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if words[0] == address:
                return bytes.fromhex(words[3].replace(":", ""))
    raise SystemExit(f"nobody has asked for {address}: no session yet?")


def frames(guest_address):
    """One of each kind."""
    station = station_of(guest_address)
    found = {}
    for kind, (ether_type, *_) in KINDS.items():
        head = station + FOREIGN_STATION + struct.pack("!H", ether_type)
        found[kind] = head + packet(kind, guest_address, link_local(station))
    return found


def main():
    device, guest_address, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    all_frames = frames(guest_address)
    sent = dict.fromkeys(all_frames, 0)
    order, total = list(all_frames.items()), 0
    started = time.monotonic()
    while not stopping:
        due = int((time.monotonic() - started) * rate)
        while total < due and not stopping:
            kind, frame = order[total % len(order)]
            try:
                sock.send(frame)
            except OSError:
                break  # The link's queue is full: nothing was sent.
            sent[kind] += 1
            total += 1
        time.sleep(BURST_S)
    print(f"RIG strays_per_s={total / (time.monotonic() - started):.0f}")
    for kind, count in sent.items():
        print(f"RIG sent_{kind}={count}", flush=True)


if __name__ == "__main__":
    main()
