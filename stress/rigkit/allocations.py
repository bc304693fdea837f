"""What the kernel's histograms say about allocations: how many, from where, in whose context.

The guest counts its kmem events with histogram triggers, keyed by the flags of the context and by
the stack, so that a million requests need no trace buffer. Pure: lines in, counts out.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

# linux/trace_events.h: the event was recorded in an interrupt or in a softirq.
IN_HARDIRQ, IN_SOFTIRQ = 0x08, 0x10

BEGIN = re.compile(r"\{ common_flags:\s*(\d+), common_stacktrace:")
END = re.compile(r"\}.* hitcount:\s*(\d+)")
FRAME = re.compile(r"([\w.]+)\+0x")
DROPPED = re.compile(r"Dropped:\s*(\d+)")

# Opportunistic: see site_of().
DESCRIPTORS = "virtio descriptors"
SHEAVES = "sheaf for freed objects"

# Functions of the allocators themselves, which say nothing about who wanted memory.
ALLOCATORS = re.compile(
    r"_*(?:kmalloc|kmem_cache|kvmalloc|krealloc|alloc_(?:frozen_|skb_)?pages?|slab_|new_slab|"
    r"allocate_slab|refill_|get_from|___slab_alloc|trace_event|event_triggers|kprobe_|ftrace_|"
    r"kretprobe_|opt_pre|optimized_callback|bpf_)"
)


# Whose work it was, by a function on the stack: the first that fits.
PARTS = (
    ("network", re.compile(r"_*(?:xsk|xp|xdp|tcp|udp|ip|inet|icmp|arp|neigh|sk|skb|alloc_skb|"
                           r"sock|net|napi|dev|netdev|netif|virtnet|sys_send|sys_recv)_")),
    ("ublk", re.compile(r"_*ublk_")),
    ("block", re.compile(r"_*(?:blk|bio|submit_bio|end_swap|swap)_")),
    ("io_uring", re.compile(r"_*io_")),
)


@dataclass
class Counts:
    """Allocations by (context, site); context is "thread" or "interrupt"."""

    sites: Counter = field(default_factory=Counter)
    parts: Counter = field(default_factory=Counter)  # (context, part)
    stacks: dict = field(default_factory=dict)  # (context, site): innermost frames of one of them
    dropped: int = 0  # events that found no place in a histogram: the counts are then too low
    histograms: int = 0

    def total(self, context, named=""):
        """How many in that context, of sites that begin with `named`."""
        return sum(
            count
            for (where, site), count in self.sites.items()
            if where == context and site.startswith(named)
        )


def site_of(frames):
    """The innermost function that is no allocator's; what may fail unnoticed has names of its own.

    virtio asks for a table of descriptors for each frame of more than one part, and takes
    descriptors of the ring when there is no memory for one: drivers/virtio/virtio_ring.c. Whoever
    frees an object puts it into a sheaf of its CPU, asks for an empty one when that is full, and
    gives the object back the long way when there is none: mm/slub.c, since Linux 6.18.
    """
    if any(frame.startswith("__pcs_replace_full") for frame in frames):
        return SHEAVES
    callers = [frame for frame in frames if not ALLOCATORS.match(frame)]
    if any(frame.startswith("virtqueue_add") for frame in callers[:3]):
        return DESCRIPTORS
    return callers[0] if callers else "?"


def part_of(frames):
    """The name in PARTS of whose work it was; "other" when none fits."""
    for name, functions in PARTS:
        if any(functions.match(frame) for frame in frames):
            return name
    return "other"


def read_histograms(lines):
    """The Counts of the `hist` files of events, one after the other."""
    counts = Counts()
    flags, frames = None, []
    for line in lines:
        if line.startswith("# event histogram"):
            counts.histograms += 1
        elif begin := BEGIN.match(line.strip()):
            flags, frames = int(begin[1]), []
        elif (end := END.search(line)) and flags is not None:
            context = "interrupt" if flags & (IN_HARDIRQ | IN_SOFTIRQ) else "thread"
            key = (context, site_of(frames))
            counts.sites[key] += int(end[1])
            counts.parts[context, part_of(frames)] += int(end[1])
            counts.stacks.setdefault(key, frames[:12])
            flags = None
        elif flags is not None and (frame := FRAME.search(line)):
            frames.append(frame[1])
        elif dropped := DROPPED.search(line):
            counts.dropped += int(dropped[1])
    return counts


def table(counts, requests):
    """Lines of text: how many for one request, by context and site, most first.

    `requests` has the number of requests that each context was watched for.
    """
    lines = [f"{'context':10} {'for one':>9} {'count':>9}  call site"]
    for (context, site), count in counts.sites.most_common():
        lines.append(f"{context:10} {count / requests[context]:9.4f} {count:9}  {site}")
    return lines
