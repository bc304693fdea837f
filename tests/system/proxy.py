"""A TCP proxy on loopback that keeps all bytes that pass, in the order in which they passed.

Bytes are recorded before they are handed on, so the record respects cause and effect: an answer
never stands before what it answers.
"""

import contextlib
import ctypes
import select
import socket
import threading
import time

CHUNK_BYTES = 256 * 1024


class Recorded:
    """One TCP connection: chunks of (from_initiator, bytes)."""

    def __init__(self):
        self.chunks = []
        self.lock = threading.Lock()
        self.began_at = time.monotonic()
        self.reset_at = None  # When the initiator reset it, if it did.

    def add(self, from_initiator, data):
        with self.lock:
            self.chunks.append((from_initiator, data))

    def on_reset(self, target):
        self.reset_at = time.monotonic()
        reset(target)


def reset(connection):
    """Ends it with RST at once, and wakes who waits on it: connect(2) to AF_UNSPEC."""
    nowhere = (ctypes.c_ubyte * 16)()
    ctypes.CDLL(None).connect(connection.fileno(), nowhere, 16)


class RecordingProxy:
    """Listens on `port` and hands on to `target_port`. A context manager."""

    def __init__(self, port, target_port):
        self.port, self.target_port = port, target_port
        self.connections = []
        self.listener = None
        self.open_sockets = []
        self.threads = []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.start_thread(self.accept)
        return self

    def __exit__(self, *exception):
        for one in [self.listener, *self.open_sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(5)

    def start_thread(self, body, *arguments):
        thread = threading.Thread(target=body, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                initiator, _ = self.listener.accept()
            except OSError:
                return
            try:
                target = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                initiator.close()
                continue
            for one in (initiator, target):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open_sockets += [initiator, target]
            recorded = Recorded()
            self.connections.append(recorded)
            self.start_thread(self.watch, initiator, target, recorded)
            self.start_thread(self.pump, initiator, target, recorded, True)
            self.start_thread(self.pump, target, initiator, recorded, False)

    @staticmethod
    def watch(initiator, target, recorded):
        """Hands on a reset of the initiator's even while the target takes nothing."""
        poller = select.poll()
        poller.register(initiator, 0)
        for _, event in poller.poll():
            if event & select.POLLERR:
                recorded.on_reset(target)

    @staticmethod
    def pump(source, sink, recorded, from_initiator):
        while data := RecordingProxy.received(source, sink, recorded, from_initiator):
            recorded.add(from_initiator, data)
            try:
                sink.sendall(data)
            except OSError:
                break
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    @staticmethod
    def received(source, sink, recorded, from_initiator):
        """The next bytes; none at the end, whatever the end was."""
        try:
            return source.recv(CHUNK_BYTES)
        except ConnectionResetError:
            # Who meets the error first takes it away from the other: this thread or watch().
            if from_initiator and recorded.reset_at is None:
                recorded.on_reset(sink)
        except OSError:
            pass
        return b""
