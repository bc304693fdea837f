"""From times of completions and times of cuts to what a cut costs. Pure; all times in seconds."""

import bisect
import math
from dataclasses import dataclass

# Answers that the kernel had already taken in may still be seen so long after a cut; a gap that
# begins within it belongs to the cut.
GRACE_S = 0.1


@dataclass(frozen=True)
class Gap:
    """A time without a completion."""

    begins: float
    ends: float

    @property
    def seconds(self):
        return self.ends - self.begins


class Timeline:
    """All times without a completion, from the first completion to the last, in order."""

    def __init__(self, completions):
        self.gaps = [Gap(a, b) for a, b in zip(completions, completions[1:])]
        self._begins = completions[:-1]

    def longest(self):
        """The longest gap; None when there are not two completions."""
        return max(self.gaps, key=lambda gap: gap.seconds, default=None)

    def gap_of(self, cut_at):
        """The gap that a cut made: the longest of those that begin around it or contain it.

        With other connections alive it is as short as any. None when nothing came after the cut.
        """
        first = bisect.bisect_left(self._begins, cut_at - GRACE_S)
        last = bisect.bisect_right(self._begins, cut_at + GRACE_S)
        if first and self.gaps[first - 1].ends > cut_at:
            first -= 1
        around = [gap for gap in self.gaps[first:last] if gap.ends > cut_at]
        return max(around, key=lambda gap: gap.seconds, default=None)

    def recovery_of(self, cut_at):
        """Seconds from a cut to the completion that ended its gap. None: nothing came any more."""
        gap = self.gap_of(cut_at)
        return None if gap is None else gap.ends - cut_at


def percentile(values, share):
    """The smallest value that at least `share` of them do not exceed; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(values):
    """How many there are, median, p95 and max, rounded to a millisecond: fio tells no more."""
    figures = {
        "median": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
        "max": max(values, default=None),
    }
    rounded = {name: value and round(value, 3) for name, value in figures.items()}
    return {"count": len(values), **rounded}
