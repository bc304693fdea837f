"""Sends UDP packets at a steady rate to the guest's discard port until it is terminated.

Runs inside the run's namespace: `flood.py ADDRESS PACKETS_PER_S`. Prints the rate it reached as
`RIG flood_packets_per_s=...`, because a busy host may not reach the wanted one.
"""

import signal
import socket
import sys
import time

BURST_S = 0.002
PAYLOAD = b"\0" * 64
DISCARD_PORT = 9


def main():
    address, rate = sys.argv[1], int(sys.argv[2])
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, DISCARD_PORT))
    started = time.monotonic()
    sent = 0
    while not stopping:
        due = int((time.monotonic() - started) * rate)
        while sent < due and not stopping:
            try:
                sock.send(PAYLOAD)
            except OSError:
                continue  # a pending ICMP error was told instead: nothing was sent
            sent += 1
        time.sleep(BURST_S)
    print(f"RIG flood_packets_per_s={sent / (time.monotonic() - started):.0f}", flush=True)


if __name__ == "__main__":
    main()
