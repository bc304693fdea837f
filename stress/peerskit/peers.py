"""The targets, each ready to be started, and what it can agree to."""

import json
import os
import socket
from dataclasses import dataclass

from .places import PROJECT  # noqa: F401  (makes `targets` and `rigkit` importable)
import targets as system_targets
from rigkit import image as rig_image
from rigkit import lio, paths

PORT = system_targets.PORT_LAST  # Of targets on loopback; the namespace is ours alone.
START_LIMIT_S = 15
CHAP_USER, CHAP_SECRET = "peer", "sixteen-at-least"  # of a run's own target alone


class PeerError(Exception):
    """A target cannot be had here; the message says why."""


@dataclass(frozen=True)
class Wish:
    """What the target is to be."""

    initiator: str
    size_mib: int
    erl: int = 0
    connections: int = 1
    digests: bool = True
    time2wait_s: int | None = None  # None: the target's own default
    data_in_order: bool = True
    chap: bool = False
    backstore: str = "ram"
    holdfast_bin: str | None = None


@dataclass(frozen=True)
class Kind:
    """A target as a row of the list. `make(wish, net, folder, progress)` is a context manager.

    `sleeps_s`: how long it does nothing of its own accord between a cut and its first answer, as
    seen with strace; no initiator can be quicker. `pretends`: it agrees to several connections and
    makes a session of each, so it is to be served with one. `prepare(progress)` fetches what the
    namespace, which has no way out, could not fetch.
    """

    name: str
    about: str
    erls: tuple
    connections_max: int
    make: object
    sleeps_s: float = 0.0
    pretends: bool = False
    prepare: object = lambda progress: None

    def agreed(self, erl, connections):
        """What it can agree to when so much is asked for."""
        level = max(each for each in self.erls if each <= erl)
        return level, min(connections, self.connections_max)


class Ram(system_targets.Target):
    """holdfast-target."""

    name = "ram"
    program = "holdfast-target"

    def __init__(self, port, wish):
        super().__init__(port, size_mib=wish.size_mib)
        self.wish = wish

    def command(self):
        wish = self.wish
        program = paths.newest_program(self.program, wish.holdfast_bin)
        if program is None:
            raise PeerError(f"{self.program} is not built")
        order = "1" if wish.data_in_order else "0"
        words = [program, "--iqn", self.iqn, "--listen", self.portal, "--log", "-"]
        words += ["--lun", f"id=0,size={self.size_mib}M,file={self.disk}"]
        words += ["--max-connections", wish.connections, "--control", self.control]
        words += ["--data-pdu-in-order", order, "--data-sequence-in-order", order]
        if wish.erl:
            words += ["--recovery-level", wish.erl]
        if wish.erl == 2:
            words += ["--time2retain", "20"]
        if wish.time2wait_s is not None:
            words += ["--time2wait", wish.time2wait_s]
        if not wish.data_in_order:
            words.append("--shuffle")
        if wish.chap:
            words += ["--chap", f"{CHAP_USER}%{CHAP_SECRET}"]
        return [str(word) for word in words]

    @property
    def control(self):
        return self.folder / "control"

    def ask(self, line):
        """One line to the control socket and its answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(START_LIMIT_S)
            control.connect(str(self.control))
            control.sendall(line.encode() + b"\n")
            return control.makefile("r").readline().strip()


def says_alive(target):
    """What the target tells about the run while it still serves."""
    if isinstance(target, Ram):
        told = json.loads(target.ask("stats"))
        return {name: told[name] for name in ("violations", "sessions_reinstated", "logins")}
    if isinstance(target, lio.Lio):
        return {"session": target.look()}
    return {}


def says_ended(target):
    """What is known of it when it has ended: its own counts, its kernel's complaints."""
    if isinstance(target, lio.Lio):
        return {"errors": target.own_counts(), "kernel": target.complaints()}
    return {}


def chap_of(wish):
    """The credentials as the system tests' targets want them."""
    return system_targets.Chap(CHAP_USER, CHAP_SECRET) if wish.chap else None


def make_ram(wish, net, folder, progress):
    return Ram(PORT, wish)


def make_tgt(wish, net, folder, progress):
    parameters = {"MaxConnections": str(wish.connections)} if wish.connections > 1 else {}
    if wish.time2wait_s is not None:
        parameters["DefaultTime2Wait"] = str(wish.time2wait_s)
    digest = "offer" if wish.digests else None
    return system_targets.Tgt(
        PORT, size_mib=wish.size_mib, digest=digest, parameters=parameters, chap=chap_of(wish)
    )


def make_istgt(wish, net, folder, progress):
    if wish.time2wait_s is not None:
        raise PeerError("istgt keeps its own Time2Wait of 2 s")
    return system_targets.Istgt(PORT, size_mib=wish.size_mib, chap=chap_of(wish))


def make_lio(wish, net, folder, progress):
    settings = lio.Settings(
        initiator=wish.initiator,
        size_mib=wish.size_mib,
        erl=wish.erl,
        connections=wish.connections,
        data_in_order=wish.data_in_order,
        backstore=wish.backstore,
        chap=(CHAP_USER, CHAP_SECRET) if wish.chap else None,
        **({} if wish.time2wait_s is None else {"time2wait_s": wish.time2wait_s}),
    )
    return lio.Lio(rig_image.ensure(progress), net, folder, settings)


ALL = {
    each.name: each
    for each in (
        Kind("ram", "Holdfast's own RAM target", (0, 1, 2), 8, make_ram),
        Kind("lio", "the kernel's target (6.12) in a guest, on a RAM disk", (0, 1, 2), 8, make_lio,
             prepare=rig_image.ensure),
        # One second in a login that ends an older session, one in a LOGICAL UNIT RESET.
        Kind("istgt", "istgt, a file", (0,), 4, make_istgt, sleeps_s=2.0),
        Kind("tgt", "tgt, a file", (0,), 1, make_tgt, pretends=True),
    )
}


def check(kind):
    """Raises PeerError when the target cannot run here."""
    if os.geteuid() != 0:
        raise PeerError("namespaces and targets need root")
    missing = {"tgt": system_targets.Tgt, "istgt": system_targets.Istgt}.get(kind.name)
    if missing is not None and (why := missing.missing()):
        raise PeerError(why)
