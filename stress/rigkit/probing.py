"""The host's ends of what `traffic-probe` measures in a guest."""

from . import network, paths, processes

PROBE_PORT = 9100
# More than a guest takes: the figure is what arrives.
DATAGRAMS_PER_S = 100000
# Longer than the guest looks.
SECONDS = 30


class Probing:
    """At most one sender at a time; each question of the guest's begins another one."""

    def __init__(self, net, folder=None):
        self.net = net
        self.program = paths.newest_program("traffic-probe", folder)
        self.process = None

    def begin(self, what):
        """`what`: the guest's end, "receive" or "count"."""
        self.stop()
        words = {
            "receive": ("send", network.GUEST_ADDRESS, PROBE_PORT, SECONDS),
            "count": ("datagrams", network.GUEST_ADDRESS, PROBE_PORT, DATAGRAMS_PER_S, SECONDS),
        }[what]
        self.process = processes.spawn(self.net.inside(self.program, *words))

    def stop(self):
        """Ends the sender."""
        processes.stop(self.process)
        self.process = None
