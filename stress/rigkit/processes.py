"""Child processes that never outlive the rig, and the traces by which leftovers are known.

Every child is started through `setpriv --pdeathsig KILL`, so it dies with the rig even when the
rig is killed outright. Names of namespaces and folders carry the owner's tag; a tag whose process
is gone marks a leftover.
"""

import os
import signal
import subprocess
from pathlib import Path


def start_ticks(pid):
    """When process `pid` started, in clock ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def owner_tag():
    """Names this process uniquely over the machine's uptime: `PID-STARTTICKS`."""
    return f"{os.getpid()}-{start_ticks(os.getpid())}"


def is_alive(tag):
    """Whether the process that made `tag` still runs. A malformed tag counts as alive."""
    pid, _, ticks = tag.partition("-")
    if not (pid.isdigit() and ticks.isdigit()):
        return True
    return start_ticks(int(pid)) == int(ticks)


def spawn(command, **popen_arguments):
    """Starts `command` in a session of its own, tied to the life of this process."""
    full = ["setpriv", "--pdeathsig", "KILL", "--", *[str(word) for word in command]]
    return subprocess.Popen(full, start_new_session=True, **popen_arguments)


def stop(process, grace_s=2.0):
    """Ends a child: politely, then not. `grace_s` = 0 kills at once. Safe on a dead child."""
    if process is None or process.poll() is not None:
        return
    if grace_s > 0:
        process.terminate()
        try:
            process.wait(grace_s)
            return
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(*command):
    """Runs a short command to its end; raises with its words when it fails."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
