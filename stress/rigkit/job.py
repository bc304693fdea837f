"""What a guest is told to do: a shell script and the programs it needs, on a disk of their own."""

import shutil
import subprocess

from . import image, network, paths, targets

HUNG_TASK_S = 30
TUNED_MIN_FREE_KBYTES = 16384

PAYLOAD_SPARE_MIB = 4


def shell_word(value):
    """Quotes one value for the guest's shell."""
    return "'" + str(value).replace("'", "'\\''") + "'"


def common_variables(target, min_free_kbytes=None):
    """What every job is told. `target` is a targets.Target; None leaves the setting alone."""
    return {
        "HOST_ADDRESS": network.HOST_ADDRESS,
        "GUEST_ADDRESS": network.GUEST_ADDRESS,
        "MASK_BITS": network.MASK_BITS,
        "ISCSI_PORT": targets.ISCSI_PORT,
        "NBD_PORT": targets.NBD_PORT,
        "NBD_EXPORT": targets.NBD_EXPORT,
        "IQN": targets.IQN,
        "LUN": target.lun,
        "HUNG_TASK_S": HUNG_TASK_S,
        "MIN_FREE_KBYTES": min_free_kbytes or "",
    }


def variables_text(variables):
    """Shell that sets the search path and the variables."""
    lines = [f"{name}={shell_word(value)}" for name, value in sorted(variables.items())]
    return "\n".join(["PATH=/payload/bin:$PATH", *lines, ""])


def _copy_program(program, target):
    """Copies an executable without its debug information, which is most of it."""
    stripped = subprocess.run(["strip", "-g", "-o", target, program], check=False).returncode == 0
    if not stripped:
        shutil.copy(program, target)


def make_payload(folder, variables, steps, programs, files=()):
    """Makes the payload disk in `folder` and returns its path.

    `steps` are pieces of shell, run in order after the variables and the library; `programs` are
    paths of executables, `files` of what is to lie beside them in /payload.
    """
    tree = folder / "payload"
    (tree / "bin").mkdir(parents=True)
    for program in programs:
        _copy_program(program, tree / "bin" / program.name)
    (tree / "variables").write_text(variables_text(variables))
    for each in (paths.GUEST_FILES / "lib.sh", *files):
        shutil.copy(each, tree / each.name)
    main = [". /payload/variables", ". /payload/lib.sh", *steps, ""]
    (tree / "main").write_text("\n".join(main))
    path = folder / "payload.ext4"
    image.make_disk(tree, path, PAYLOAD_SPARE_MIB)
    return path


def disk_of(initiator_name, target):
    """The memory disk when QEMU itself has to serve it, else None."""
    return target.disk if initiator_name == "local" else None
