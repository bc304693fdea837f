"""The proxy of the peers harness as a process, between sockets of this test on loopback."""

import contextlib
import queue
import socket
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from peerskit import cables  # noqa: E402
from conformkit import wire  # noqa: E402  (peerskit has made it importable)

LIMIT_S = 60
KEYS = b"ErrorRecoveryLevel=2\0MaxConnections=4\0DefaultTime2Wait=3\0DataDigest=CRC32C\0"


def pdu(opcode, flags, data=b""):
    bhs = bytes([opcode, flags, 0, 0, 0]) + len(data).to_bytes(3, "big") + bytes(40)
    return bhs + data + bytes(-len(data) % 4)


LOGIN_REQUEST = pdu(wire.LOGIN, 0x87, KEYS)
WRITE = bytearray(pdu(wire.SCSI_COMMAND, 0xA0))
WRITE[32] = 0x8A
LOGIN_ANSWER = pdu(wire.LOGIN_RESPONSE, 0x87, KEYS)


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


class Target:
    """Answers each login and gives everything after it back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.beginnings = queue.Queue()  # the first bytes of each connection
        self.endings = queue.Queue()  # how each connection ended
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return self.listener.getsockname()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            first = connection.recv(len(LOGIN_REQUEST))
            self.beginnings.put(first)
            receive(connection, len(LOGIN_REQUEST) - len(first))
            connection.sendall(LOGIN_ANSWER)
            while data := connection.recv(65536):
                connection.sendall(data)
            self.endings.put("end")
        except ConnectionResetError:
            self.endings.put("reset")
        connection.close()


class Proxy(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.target = Target()
        self.stack.callback(self.target.listener.close)
        self.cables = self.stack.enter_context(
            cables.Cables(("127.0.0.1", 0), self.target.address, seed=1, folder=folder)
        )
        self.port = self.cables.told("listening")[0]["port"]

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
        self.stack.callback(connection.close)
        return connection

    def log_in(self):
        connection = self.connect()
        connection.sendall(LOGIN_REQUEST)
        self.assertEqual(receive(connection, len(LOGIN_ANSWER)), LOGIN_ANSWER)
        return connection

    def serve(self, connection):
        """A first request, so that the connection is worth cutting."""
        connection.sendall(WRITE)
        self.assertEqual(receive(connection, len(WRITE)), WRITE)
        return connection

    def is_alive(self, connection):
        try:
            connection.sendall(pdu(wire.NOP_OUT, 0x80))
            return len(receive(connection, 48)) == 48
        except ConnectionResetError:
            return False

    def test_one_of_several_connections_is_cut_both_ways(self):
        # Goal: exactly one connection is reset, at both ends; the others live on.
        connections = [self.serve(self.log_in()) for _ in range(4)]
        self.assertTrue(self.cables.cut())
        alive = [self.is_alive(each) for each in connections]
        self.assertEqual(sorted(alive), [False, True, True, True])
        self.assertEqual(self.cables.wait_for({"closed"})["link"], alive.index(False) + 1)
        self.assertEqual(cables.peak(self.cables.events), 4)
        self.assertEqual(self.target.endings.get(timeout=LIMIT_S), "reset")

    def test_a_connection_that_serves_nothing_yet_is_not_cut(self):
        # Goal: a cut hits a session, not an attempt to make one.
        early = self.connect()
        early.sendall(LOGIN_REQUEST[:20])
        self.assertEqual(self.target.beginnings.get(timeout=LIMIT_S), LOGIN_REQUEST[:20])
        self.assertFalse(self.cables.cut())
        early.sendall(LOGIN_REQUEST[20:])
        self.assertEqual(receive(early, len(LOGIN_ANSWER)), LOGIN_ANSWER)
        self.assertTrue(self.is_alive(early))
        self.assertFalse(self.cables.cut())
        self.serve(early)
        self.assertTrue(self.cables.cut())

    def test_the_report_tells_what_was_agreed(self):
        # Goal: keys come from the login as it passed; silence means the default of the RFC.
        self.log_in()
        told = self.cables.wait_for({"full"})
        self.assertFalse(told["joins"])
        agreed = told["agreed"]
        self.assertEqual(agreed["ErrorRecoveryLevel"], "2")
        self.assertEqual(agreed["MaxConnections"], "4")
        self.assertEqual(agreed["DefaultTime2Wait"], "3")
        self.assertEqual(agreed["DefaultTime2Retain"], "20")
        self.assertEqual(agreed["HeaderDigest"], "None")

    def test_bytes_pass_unchanged_and_damage_is_counted(self):
        # Goal: without damage nothing changes; with it as many bits flip as are reported.
        block = pdu(wire.DATA_IN, 0x80, bytes(range(256)) * 16) + bytes(4)
        many = block * 200
        plain = self.log_in()
        self.assertEqual(self.there_and_back(plain, many), many)
        self.cables.tell("damage in 10")
        bent = self.log_in()
        back = self.there_and_back(bent, many)
        flipped = sum((a ^ b).bit_count() for a, b in zip(many, back))
        self.assertGreater(flipped, 0)
        bent.close()
        self.assertEqual(self.cables.wait_for({"damaged"})["pdus"], flipped)

    def there_and_back(self, connection, data):
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        back = receive(connection, len(data))
        sender.join()
        return back

    def test_the_end_of_the_proxy_is_reported(self):
        # Goal: what was damaged on connections that outlive the run is counted too.
        self.cables.tell("damage in 1")
        connection = self.log_in()
        block = pdu(wire.DATA_IN, 0x80, bytes(64)) + bytes(4)
        self.there_and_back(connection, block)
        self.cables.end()
        self.assertEqual([each["pdus"] for each in self.cables.told("damaged")], [1])
        self.assertEqual(len(self.cables.told("closed")), 1)

    def test_an_end_is_handed_on(self):
        # Goal: a closed connection is closed on the other side too, and in order.
        connection = self.log_in()
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
