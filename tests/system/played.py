"""Targets played by a few lines: a listener that answers as it likes."""

import contextlib
import socket
import struct
import threading

PATIENCE_S = 25


@contextlib.contextmanager
def played(port, answer):
    """A listener that does `answer(connection)` for each connection; gives a list that grows with
    each."""
    taken = []
    listener = socket.create_server(("127.0.0.1", port))
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            with connection, contextlib.suppress(OSError):
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def login_response(status=0, flags=0x87, text=b"", length=None):
    """A Login Response header with whatever is asked for in it."""
    bhs = bytearray(48)
    bhs[0], bhs[1] = 0x23, flags
    bhs[5:8] = (len(text) if length is None else length).to_bytes(3, "big")
    struct.pack_into(">H", bhs, 36, status)
    struct.pack_into(">I", bhs, 32, 1)
    return bytes(bhs) + text + bytes(-len(text) % 4)


def after_request(data):
    """Reads one Login Request, answers with `data`, and waits for the other side to close."""
    def answer(connection):
        connection.settimeout(PATIENCE_S)
        connection.recv(8192)
        connection.sendall(data)
        while connection.recv(8192):
            pass
    return answer


def after_request_of(status, text=b""):
    """Answers with that status and text, for the task and session the request names."""
    def answer(connection):
        connection.settimeout(PATIENCE_S)
        request = connection.recv(8192)
        response = bytearray(login_response(status=status, flags=0, text=text))
        response[16:20] = request[16:20]
        response[8:14] = request[8:14]
        connection.sendall(bytes(response))
        while connection.recv(8192):
            pass
    return answer
