"""`rig shell`: a guest with a person at its console, set up as for a run."""

import subprocess
import tempfile
from pathlib import Path

from . import guest, initiators, job, network, paths, runner, targets

SHELL_SIZE_MIB = 1024

# A session of its own on the console, so that the shell has job control. `attach` must not power
# the guest off when it fails: there is a person to look into it.
STEPS = """
cat >/run/shellrc <<'END'
. /payload/variables
. /payload/lib.sh
give_up() { echo "failed: $*"; return 1; }
attach() { eval "$ATTACH"; echo "DEV=$DEV"; }
PS1='rig# '
END
echo "The target is up. 'attach' makes the disk; 'exit' powers off; Ctrl-a x stops QEMU."
ENV=/run/shellrc setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1
finish
"""


def interactive(arguments, the_image):
    """Boots a guest on this terminal; returns QEMU's exit status."""
    initiator = initiators.ALL[arguments.initiator]
    target_class = targets.choose(arguments.initiator, arguments.target, arguments.holdfast_bin)
    programs = runner.find_programs(initiator.programs, arguments.holdfast_bin)
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.CACHE, prefix="shell-") as scratch:
        folder = Path(scratch)
        with network.Network() as net, target_class(
            net, folder, SHELL_SIZE_MIB, programs=arguments.holdfast_bin
        ) as target:
            variables = job.common_variables(target)
            variables |= {"PROFILE": "swap", "ATTACH": initiator.attach}
            steps = ("network_up", "common_settings", STEPS)
            payload = job.make_payload(folder, variables, steps, programs)
            machine = guest.Guest(
                the_image,
                net,
                folder,
                payload,
                job.disk_of(arguments.initiator, target),
                nic=arguments.nic or guest.DEFAULT_NIC,
            )
            command = machine.command("stdio,mux=on,signal=off", "file,path=/dev/null")
            return subprocess.call(net.inside(*command), cwd=folder)
