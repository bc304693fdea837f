"""Recorded connections as a classic pcap file, with Ethernet, IPv4 and TCP headers made up around
them, so that tshark's iSCSI dissector opens it."""

import struct

MAGIC, SNAPLEN, ETHERNET = 0xa1b2c3d4, 1 << 18, 1
SEGMENT_BYTES = 32768
ISCSI_PORT, FIRST_CLIENT_PORT = 3260, 40001
CLIENT, SERVER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
SYN, ACK, PUSH, FIN = 2, 16, 8, 1


class Conversation:
    """Both directions of one TCP connection."""

    def __init__(self, number, out):
        self.ports = (FIRST_CLIENT_PORT + number, ISCSI_PORT)
        self.next = [1000, 2000]  # Sequence numbers: client, server.
        self.out = out

    def packet(self, at_s, by_client, flags, payload=b""):
        me, other = (0, 1) if by_client else (1, 0)
        tcp = struct.pack(">HHIIBBHHH", self.ports[me], self.ports[other], self.next[me],
                          self.next[other] if flags & ACK else 0, 5 << 4, flags, 65535, 0, 0)
        source, sink = (CLIENT, SERVER) if by_client else (SERVER, CLIENT)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0x4000, 64, 6,
                         0, source, sink)
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        tcp = tcp[:16] + struct.pack(">H", tcp_checksum(source, sink, tcp, payload)) + tcp[18:]
        frame = bytes(5) + bytes([me + 1]) + bytes(5) + bytes([other + 1]) + b"\x08\x00"
        frame += ip + tcp + payload
        whole, part = int(at_s), int(at_s % 1 * 1e6)
        self.out.append((at_s, struct.pack("<IIII", whole, part, len(frame), len(frame)) + frame))
        self.next[me] += len(payload) + bool(flags & (SYN | FIN))
        self.next[me] &= 0xffffffff


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_checksum(source, sink, tcp, payload):
    pseudo = source + sink + struct.pack(">BBH", 0, 6, len(tcp) + len(payload))
    return checksum(pseudo + tcp + payload)


def pcap(links):
    """The file's bytes."""
    packets = []
    for link in links:
        one = Conversation(link.number, packets)
        one.packet(link.began_s, True, SYN)
        one.packet(link.began_s, False, SYN | ACK)
        one.packet(link.began_s, True, ACK)
        last_s = link.began_s
        for at_s, by_client, data in link.chunks:
            for at in range(0, len(data), SEGMENT_BYTES):
                one.packet(at_s, by_client, ACK | PUSH, data[at:at + SEGMENT_BYTES])
            last_s = at_s
        if not link.is_open:
            by_client = link.closed_by == "initiator"
            one.packet(last_s, by_client, ACK | FIN)
            one.packet(last_s, not by_client, ACK | FIN)
    packets.sort(key=lambda pair: pair[0])
    head = struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAPLEN, ETHERNET)
    return head + b"".join(data for _, data in packets)
