#!/usr/bin/env python3
"""A TCP proxy between initiator and target that cuts connections, stalls and damages on demand.

usage: proxy.py LISTEN_HOST:PORT TARGET_HOST:PORT SEED

Lines on standard input:
    cut                  resets, both ways, one of the connections that have carried a request
    stall SECONDS        hands nothing on for so long
    damage in|out EVERY  of the connections that log in from now on, one data PDU of so many
The end of standard input ends it, with every connection.
Lines on standard output, JSON, each with `at` (seconds of Unix time):
    {"event": "listening", "port": N}, {"event": "accepted", "link": N},
    {"event": "full", "link": N, "agreed": {key: value}, "joins": BOOL, "waited": SECONDS}
                         when a login has ended
                         well; joins: it named a session (TSIH), so that session's keys are not
                         among its own; so long the target let the initiator wait in it,
    {"event": "request", "link": N}                       the first READ or WRITE is sent,
    {"event": "closed", "link": N, "was_full": true},
    {"event": "cut", "link": N} or {"event": "nothing to cut"}, {"event": "stalled"},
    {"event": "damaged", "link": N, "pdus": N}            when such a link is closed

Nothing is held back on purpose: what one side sends goes on at once, while the other side takes it.
"""

import contextlib
import json
import os
import random
import select
import socket
import struct
import sys
import time

from places import PROJECT  # noqa: F401  (makes conformkit importable)
from conformkit import wire
from framer import Corrupter, Scout

CHUNK_BYTES = 256 * 1024
TSIH_AT = slice(14, 16)  # Of the first Login request. RFC 7143 section 11.12.
BACKLOG = 64
KEYS = (
    *("ErrorRecoveryLevel", "MaxConnections", "DefaultTime2Wait", "DefaultTime2Retain"),
    *("HeaderDigest", "DataDigest", "DataPDUInOrder", "DataSequenceInOrder", "AuthMethod"),
)

# What the keys that wire.DEFAULTS does not know are worth when nobody says anything. Section 13.
DEFAULTS = {"DefaultTime2Wait": "2", "DefaultTime2Retain": "20"}


def say(event, **more):
    print(json.dumps({"at": time.time(), "event": event, **more}), flush=True)


class Side:
    """One socket of a link, with what waits to be sent on it."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = bytearray()
        self.is_connected = True
        self.ends_after = False  # the peer of the link has said its last word


class Link:
    """One connection of the initiator's, and the one made for it to the target."""

    def __init__(self, number, initiator, target):
        self.number = number
        self.sides = {True: Side(initiator), False: Side(target)}  # by "is the initiator's"
        self.sides[False].is_connected = False
        self.login = wire.Connection([])
        self.is_full = False
        self.asked_at, self.waited_s = time.monotonic(), 0.0
        self.joins = None  # Whether the first Login request names a session.
        self.scout = None  # while no request has been seen
        self.is_serving = False
        self.corrupters = {}

    def other(self, side):
        return self.sides[side is self.sides[False]]

    def watch_login(self, from_initiator, chunk):
        """Reads along until the login has ended."""
        now = time.monotonic()
        if from_initiator:
            self.asked_at = now
        else:
            self.waited_s += now - self.asked_at
        if from_initiator and self.joins is None:
            self.joins = any(chunk[TSIH_AT])
        self.login.streams[from_initiator].bytes += chunk
        self.login.cut(from_initiator)
        if not self.login.is_full_feature:
            return False
        self.is_full = True
        return True

    def agreed(self):
        """The keys in effect on this connection."""
        told = {key: self.login.agreed(key) for key in KEYS}
        return {key: DEFAULTS.get(key) if value is None else value for key, value in told.items()}


class Proxy:
    """All links, on one thread."""

    def __init__(self, listen, target, seed):
        self.target = target
        self.random = random.Random(seed)
        self.links = []
        self.count = 0
        self.damage = {}  # "in" or "out" -> one PDU of so many
        self.poller = select.epoll()  # tells of resets whether it is asked to or not
        self.calls = {}  # file descriptor -> (function, arguments, events wanted)
        self.listener = socket.create_server(listen, backlog=BACKLOG, reuse_port=False)
        self.listener.setblocking(False)
        self.register(self.listener.fileno(), select.EPOLLIN, self.accept)
        os.set_blocking(0, False)
        self.words = b""
        self.register(0, select.EPOLLIN, self.on_words)
        self.is_over = False

    def register(self, descriptor, events, call, *arguments):
        self.poller.register(descriptor, events)
        self.calls[descriptor] = [call, arguments, events]

    def run(self):
        say("listening", port=self.listener.getsockname()[1])
        while not self.is_over:
            for descriptor, events in self.poller.poll():
                # Gone when something before it in this round has closed it.
                if descriptor in self.calls:
                    call, arguments, _ = self.calls[descriptor]
                    call(*arguments, events)
        for link in list(self.links):
            self.reset(link)

    def accept(self, _):
        initiator, _ = self.listener.accept()
        target = socket.socket()
        for each in (initiator, target):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            target.connect(self.target)
        self.count += 1
        link = Link(self.count, initiator, target)
        self.links.append(link)
        say("accepted", link=link.number)
        for side in link.sides.values():
            both = select.EPOLLIN | select.EPOLLOUT
            self.register(side.sock.fileno(), both, self.on_ready, link, side)

    def on_ready(self, link, side, events):
        try:
            if events & select.EPOLLERR:
                raise ConnectionResetError
            if events & select.EPOLLOUT:
                side.is_connected = True
                self.flush(side)
            if events & select.EPOLLIN:
                self.read(link, side)
        except OSError:
            self.reset(link)
            return
        if link in self.links:
            self.want(link)

    def read(self, link, side):
        other = link.other(side)
        if other.pending or not other.is_connected:
            return
        data = side.sock.recv(CHUNK_BYTES)
        if not data:
            other.ends_after = True
            self.flush(other)
            if side.ends_after:
                self.close(link)
            return
        chunk = bytearray(data)
        self.look(link, side is link.sides[True], chunk)
        other.pending += chunk
        self.flush(other)

    def look(self, link, from_initiator, chunk):
        if not link.is_full:
            if link.watch_login(from_initiator, chunk):
                self.on_full(link)
            return
        if link.scout and from_initiator:
            link.scout.pass_on(chunk)
            if link.scout.has_found:
                say("request", link=link.number)
                link.scout, link.is_serving = None, True
        if corrupter := link.corrupters.get(from_initiator):
            corrupter.pass_on(chunk)

    def on_full(self, link):
        agreed = link.agreed()
        digests = (agreed["HeaderDigest"] == "CRC32C", agreed["DataDigest"] == "CRC32C")
        link.scout = Scout(*digests)
        for direction, every in self.damage.items():
            seed = self.random.randrange(1 << 30)
            link.corrupters[direction == "out"] = Corrupter(every, *digests, seed)
        say("full", link=link.number, agreed=agreed, joins=link.joins, waited=link.waited_s)

    @staticmethod
    def flush(side):
        while side.pending and side.is_connected:
            try:
                sent = side.sock.send(side.pending)
            except BlockingIOError:
                return
            del side.pending[:sent]
        if side.ends_after and side.is_connected:
            with contextlib.suppress(OSError):
                side.sock.shutdown(socket.SHUT_WR)

    def want(self, link):
        """Asks the kernel for what can be used: room to send, and bytes that there is room for."""
        for side in link.sides.values():
            other = link.other(side)
            events = 0
            if other.is_connected and not other.pending and not other.ends_after:
                events |= select.EPOLLIN
            if side.pending or not side.is_connected:
                events |= select.EPOLLOUT
            descriptor = side.sock.fileno()
            if self.calls[descriptor][2] != events:
                self.calls[descriptor][2] = events
                self.poller.modify(descriptor, events)

    def forget(self, link):
        for side in link.sides.values():
            self.poller.unregister(side.sock.fileno())
            del self.calls[side.sock.fileno()]
            side.sock.close()
        self.links.remove(link)
        damaged = sum(each.damaged for each in link.corrupters.values())
        if link.corrupters:
            say("damaged", link=link.number, pdus=damaged)
        say("closed", link=link.number, was_full=link.is_full)

    def close(self, link):
        self.forget(link)

    def reset(self, link):
        """RST to both sides; what is under way is lost."""
        for side in link.sides.values():
            linger = struct.pack("ii", 1, 0)
            side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.forget(link)

    def on_words(self, _):
        data = os.read(0, 4096)
        if not data:
            self.is_over = True
            return
        *lines, self.words = (self.words + data).split(b"\n")
        for line in lines:
            self.obey(line.decode().split())

    def obey(self, words):
        match words:
            case ["cut"]:
                self.cut()
            case ["stall", seconds]:
                say("stalled")
                time.sleep(float(seconds))
            case ["damage", ("in" | "out") as direction, every]:
                self.damage[direction] = int(every)
            case _:
                say("not understood", words=words)

    def cut(self):
        serving = [link for link in self.links if link.is_serving]
        if not serving:
            say("nothing to cut")
            return
        link = self.random.choice(serving)
        say("cut", link=link.number)
        self.reset(link)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    listen, target, seed = sys.argv[1:]
    Proxy(endpoint(listen), endpoint(target), int(seed)).run()


if __name__ == "__main__":
    main()
