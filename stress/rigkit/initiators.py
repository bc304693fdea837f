"""How each initiator gets its disk inside the guest. The one place to change when one changes.

`attach` is shell that ends with DEV set to a block device, or calls `give_up`. `report` is shell
that runs when the load is over. Both see the job's variables (HOST_ADDRESS, IQN, LUN, ...).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Initiator:
    """An initiator under test. `programs` are taken from Holdfast's build into the payload."""

    name: str
    about: str
    attach: str
    report: str = ""
    programs: tuple = ()


LOCAL = Initiator(
    name="local",
    about="a second virtio disk: the ceiling",
    attach="DEV=/dev/vdc",
)

OPEN_ISCSI = Initiator(
    name="open-iscsi",
    about="the kernel's iscsi_tcp with iscsid, Debian's defaults",
    attach="""
echo InitiatorName=iqn.1993-08.org.debian:01:rig >/etc/iscsi/initiatorname.iscsi
modprobe -a iscsi_tcp sd_mod
iscsid || give_up "iscsid does not start"
iscsiadm -m discovery -t sendtargets -p "$HOST_ADDRESS:$ISCSI_PORT" >/tmp/iscsiadm.log 2>&1 ||
    { log iscsiadm </tmp/iscsiadm.log; give_up "discovery failed"; }
iscsiadm -m node -T "$IQN" -p "$HOST_ADDRESS:$ISCSI_PORT" --login >/tmp/iscsiadm.log 2>&1 ||
    { log iscsiadm </tmp/iscsiadm.log; give_up "login failed"; }
wait_for 300 test -b /dev/sda || give_up "no disk after the login"
DEV=/dev/sda
""",
    report="""
iscsiadm -m session -s >/tmp/session.log 2>&1
log session </tmp/session.log
""",
)

NBD = Initiator(
    name="nbd",
    about="the kernel's nbd with nbd-client -swap",
    attach="""
modprobe nbd
nbd-client -N "$NBD_EXPORT" "$HOST_ADDRESS" "$NBD_PORT" /dev/nbd0 -swap >/tmp/nbd.log 2>&1 ||
    { log nbd </tmp/nbd.log; give_up "nbd-client failed"; }
DEV=/dev/nbd0
""",
)

HOLDFAST = Initiator(
    name="holdfast",
    about="holdfastd over ublk, profile swap, defaults",
    programs=("holdfastd", "holdfast-control", "holdfast-loader", "holdfast"),
    attach="""
modprobe ublk_drv
# The log goes to the console, where it is still to be had when the guest has locked up.
holdfastd >/dev/console 2>&1 &
wait_for 100 holdfast status || give_up "holdfastd does not answer"
holdfast attach --profile "$PROFILE" --name disk0 $ATTACH_WORDS \\
    "iscsi://$HOST_ADDRESS:$ISCSI_PORT/$IQN/$LUN" >/run/attach.log 2>&1 ||
    { log attach </run/attach.log; give_up "attach failed"; }
wait_for 300 test -b /dev/holdfast/disk0 || give_up "no disk after the attach"
DEV=/dev/holdfast/disk0
holdfast status --json >/run/status-before.json 2>&1
log status_before </run/status-before.json
report_locked before
""",
    report="""
holdfast status --json >/run/status-after.json 2>&1
log status_after </run/status-after.json
report_locked after
""",
)

CLIENT = Initiator(
    name="client",
    about="the verbs of `holdfast` that open a session of their own; no daemon, no disk",
    programs=("holdfast",),
    attach="DEV=none",
)

ALL = {each.name: each for each in (HOLDFAST, OPEN_ISCSI, NBD, LOCAL, CLIENT)}
