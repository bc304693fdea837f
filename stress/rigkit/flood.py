"""Sends UDP packets at a steady rate to the guest's discard port until it is terminated.

Runs inside the run's namespace: `flood.py ADDRESS PACKETS_PER_S`. Prints what it reached as
`RIG flood_packets_per_s=...` and how long it took, because a busy host may not reach the wanted
rate. Many packets go with one call (sendmmsg), or the rate would be the interpreter's.
"""

import ctypes
import signal
import socket
import sys
import time

BURST_S = 0.001
BATCH = 64  # packets of one call
PAYLOAD = b"\0" * 64
DISCARD_PORT = 9


class IoVector(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """struct mmsghdr: a struct msghdr, and how much of it was sent."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    ]


class Sender:
    """Sends the same packet, many at a time."""

    def __init__(self, sock):
        self._sock = sock
        self._vector = IoVector(PAYLOAD, len(PAYLOAD))
        one = Message(vectors=ctypes.pointer(self._vector), vector_count=1)
        self._messages = (Message * BATCH)(*[one] * BATCH)
        self._call = ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, count):
        """How many of `count` were sent; 0 when an earlier ICMP error was told instead."""
        done = self._call(self._sock.fileno(), self._messages, min(count, BATCH), 0)
        return max(done, 0)


def main():
    address, rate = sys.argv[1], int(sys.argv[2])
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, DISCARD_PORT))
    sender = Sender(sock)
    started = time.monotonic()
    sent = 0
    while not stopping:
        due = int((time.monotonic() - started) * rate)
        while sent < due and not stopping:
            sent += sender.send(due - sent)
        time.sleep(BURST_S)
    took = time.monotonic() - started
    print(f"RIG flood_packets_per_s={sent / took:.0f}\nRIG flood_s={took:.1f}", flush=True)


if __name__ == "__main__":
    main()
