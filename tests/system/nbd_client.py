"""An NBD client that outlives its server: it connects again and sends again what was not answered.

The kernel's client does the same with -persist. Every block it writes says which block it is and
of which generation, and every read is checked against what was acknowledged.
"""

import contextlib
import random
import socket
import struct
import threading
import time

BLOCK = 4096
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
OPTION_MAGIC = 0x49484156454F5054
FIXED_NO_ZEROES = 3
EXPORT_NAME = 1
READ, WRITE = 0, 1
CONNECT_LIMIT_S = 60
RETRY_PAUSE_S = 0.002


def content(block, generation):
    """One block that tells what it is, in all of its bytes."""
    return struct.pack(">QQ", block, generation) * (BLOCK // 16)


class Mismatch(Exception):
    """A block came back wrong, or a request failed."""


class NbdClient:
    """One request at a time, on one connection after the other."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = None
        self.handle = 0
        self.connections = 0
        self.is_over = False
        self.longest_s = 0.0  # of one request, reconnecting included

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def give_up(self):
        """From another thread: a request that waits for an answer ends with an error."""
        self.is_over = True
        connection = self.socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def request(self, kind, block, data=b""):
        """The data of a read. Tries until it is answered."""
        self.handle += 1
        header = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, kind, self.handle, block * BLOCK, BLOCK)
        began = time.monotonic()
        while True:
            try:
                if self.socket is None:
                    self._connect()
                self.socket.sendall(header + data)
                magic, error, handle = struct.unpack(">IIQ", self._take(16))
                if magic != REPLY_MAGIC or error != 0 or handle != self.handle:
                    raise Mismatch(f"block {block}: error {error}, answer to request {handle}")
                answer = self._take(BLOCK) if kind == READ else b""
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                return answer
            except OSError:
                self.close()
                if self.is_over or time.monotonic() - began > CONNECT_LIMIT_S:
                    raise
                time.sleep(RETRY_PAUSE_S)

    def _connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_LIMIT_S)
        self.socket = connection
        connection.connect(self.path)
        self._take(18)
        connection.sendall(struct.pack(">IQII", FIXED_NO_ZEROES, OPTION_MAGIC, EXPORT_NAME, 0))
        self._take(10)
        self.connections += 1

    def _take(self, count):
        parts = []
        while count > 0:
            part = self.socket.recv(count)
            if not part:
                raise ConnectionResetError("the server has gone")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


class Load:
    """Threads that write and verify blocks of their own until they are told to stop."""

    THREADS = 4
    BLOCKS = 64  # of each thread

    def __init__(self, path, seed=1):
        self.clients = [NbdClient(path) for _ in range(self.THREADS)]
        self.failures = []
        self.requests = 0
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(number, client, seed))
            for number, client in enumerate(self.clients)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        for client in self.clients:
            client.close()

    def abandon(self):
        """Ends requests that nobody will answer."""
        self.stopping.set()
        for each in self.clients:
            each.give_up()

    @property
    def longest_s(self):
        return max(client.longest_s for client in self.clients)

    def _run(self, number, client, seed):
        draw = random.Random(seed * 100 + number)
        written = {}
        generation = 0
        try:
            while not self.stopping.is_set():
                block = number * self.BLOCKS + draw.randrange(self.BLOCKS)
                if block in written and draw.random() < 0.5:
                    self._verify(client, block, written[block])
                else:
                    generation += 1
                    client.request(WRITE, block, content(block, generation))
                    written[block] = generation
                self.requests += 1
            for block, last in written.items():
                self._verify(client, block, last)
        except (Mismatch, OSError) as error:
            self.failures.append(f"thread {number}: {error}")

    @staticmethod
    def _verify(client, block, generation):
        data = client.request(READ, block)
        if data != content(block, generation):
            found = struct.unpack(">QQ", data[:16])
            raise Mismatch(f"block {block} generation {generation} reads as {found}")
