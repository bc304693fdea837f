"""Acts inside a running process, as somebody would who has taken it over: any system call, with any
arguments, at the place where it stands. x86-64."""

import ctypes
import os
import signal

PEEKTEXT, POKETEXT, CONT, GETREGS, SETREGS, ATTACH, DETACH = 1, 4, 7, 12, 13, 16, 17

# Places in struct user_regs_struct, in words of 8 bytes.
R10, R9, R8, RAX, RDX, RSI, RDI, ORIG_RAX, RIP, RSP = 7, 8, 9, 10, 12, 13, 14, 15, 16, 19
REGISTERS_BYTES = 27 * 8
ARGUMENTS = (RDI, RSI, RDX, R10, R8, R9)
ALL_ONES = (1 << 64) - 1

SYSCALL_AND_TRAP = 0xCC050F
JUMP_TO_ITSELF = 0xFEEB

CALLS = {"mmap": 9, "socket": 41, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "rename": 82,
         "ptrace": 101, "setuid": 105, "capset": 126, "mount": 165, "openat": 257, "unshare": 272,
         "bpf": 321, "io_uring_setup": 425}


class Held:
    """A process that stands still while it is held. A context manager."""

    def __init__(self, pid):
        self.pid = pid
        self.ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self.ptrace.restype = ctypes.c_long
        self.ptrace.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 3
        self.is_dead = False

    def __enter__(self):
        if self.ptrace(ATTACH, self.pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace attach")
        os.waitpid(self.pid, 0)
        return self

    def __exit__(self, *_):
        if not self.is_dead:
            self.ptrace(DETACH, self.pid, None, None)

    def registers(self):
        raw = (ctypes.c_uint64 * (REGISTERS_BYTES // 8))()
        self.ptrace(GETREGS, self.pid, None, ctypes.addressof(raw))
        return raw

    def set_registers(self, raw):
        self.ptrace(SETREGS, self.pid, None, ctypes.addressof(raw))

    def replace_text(self, at, code, size):
        """The word that was there."""
        word = self.ptrace(PEEKTEXT, self.pid, at, None) & ALL_ONES
        mask = (1 << 8 * size) - 1
        self.ptrace(POKETEXT, self.pid, at, (word & ~mask) | code)
        return word

    def place_text(self, text):
        """Its address: below everything that the process has on its stack."""
        at = self.registers()[RSP] - 4096
        raw = text.encode() + b"\0"
        for offset in range(0, len(raw), 8):
            word = int.from_bytes(raw[offset:offset + 8].ljust(8, b"\0"), "little")
            self.ptrace(POKETEXT, self.pid, at + offset, word)
        return at

    def call(self, number, *arguments):
        """Signal that killed it, and None; or None, and what the kernel answered."""
        before = self.registers()
        changed = self.registers()
        changed[RAX], changed[ORIG_RAX] = number, ALL_ONES
        for place, value in zip(ARGUMENTS, list(arguments) + [0] * 6):
            changed[place] = value & ALL_ONES
        word = self.replace_text(before[RIP], SYSCALL_AND_TRAP, 3)
        self.set_registers(changed)
        self.ptrace(CONT, self.pid, None, None)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status) or os.WIFEXITED(status):
            self.is_dead = True
            return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), None
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            raise OSError(f"stopped by signal {os.WSTOPSIG(status)}")
        answer = ctypes.c_int64(self.registers()[RAX]).value
        self.ptrace(POKETEXT, self.pid, before[RIP], word)
        self.set_registers(before)
        return None, answer


def call_inside(pid, name, *arguments):
    """A text among the arguments is put into the process, and its address taken; at most one."""
    with Held(pid) as held:
        words = [held.place_text(one) if isinstance(one, str) else one for one in arguments]
        return held.call(CALLS[name], *words)


def plant_a_loop(pid):
    """Makes a process spin where it stands, as a mistake of ours might."""
    with Held(pid) as held:
        held.replace_text(held.registers()[RIP], JUMP_TO_ITSELF, 2)
