"""What is asked of a LUN."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Load:
    """One load. `rw` is a word of fio's: randread, randwrite, read, write."""

    rw: str
    block_bytes: int
    depth: int

    @property
    def is_read(self):
        return self.rw.endswith("read")

    @property
    def is_random(self):
        return self.rw.startswith("rand")

    @property
    def name(self):
        return f"{self.rw} {self.block_bytes >> 10} KiB depth {self.depth}"


RANDOM = tuple(Load(rw, 4096, depth) for rw in ("randread", "randwrite") for depth in (1, 32))
SEQUENTIAL = (Load("read", 128 << 10, 32), Load("write", 128 << 10, 32))
