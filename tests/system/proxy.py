"""A TCP proxy on loopback that keeps all bytes that pass, in the order in which they passed.

Bytes are recorded before they are handed on, so the record respects cause and effect: an answer
never stands before what it answers.
"""

import contextlib
import socket
import threading

CHUNK_BYTES = 256 * 1024


class Recorded:
    """One TCP connection: chunks of (from_initiator, bytes)."""

    def __init__(self):
        self.chunks = []
        self.lock = threading.Lock()

    def add(self, from_initiator, data):
        with self.lock:
            self.chunks.append((from_initiator, data))


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
            self.start_thread(self.pump, initiator, target, recorded, True)
            self.start_thread(self.pump, target, initiator, recorded, False)

    @staticmethod
    def pump(source, sink, recorded, from_initiator):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                recorded.add(from_initiator, data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
