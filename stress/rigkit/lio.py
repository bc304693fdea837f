"""A guest whose only job is to be a target: the kernel's own (LIO), set up through configfs.

The blocks are real memory of the guest (`rd_mcp`, or a file on its tmpfs), so that what is written
can be read back. The initiator's side is the host's end of the run's namespace.
"""

import contextlib
import threading
import time
from dataclasses import dataclass

from . import facts as facts_module
from . import guest, job, network, targets

MEMORY_MIB = 512  # The disk lives in it.
START_LIMIT_S = 120
STOP_LIMIT_S = 15
POLL_S = 0.2
PAGE_KIB = 4

BACKSTORES = ("ram", "file")


@dataclass(frozen=True)
class Settings:
    """How the target is set up. Keys are those of RFC 7143 section 13."""

    initiator: str  # The only name that may log in, with an ACL of its own.
    size_mib: int = 64
    backstore: str = "ram"
    erl: int = 0
    connections: int = 1
    digests: str = "CRC32C,None"  # What the target accepts for header and data.
    time2wait_s: int = 2
    time2retain_s: int = 20
    data_in_order: bool = True  # False: PDUs and sequences at random offsets, both ways.
    queue_depth: int = 64
    chap: tuple | None = None  # (user, secret)

    def variables(self):
        """What the guest's shell is told. Raises TargetError for what the guest cannot be."""
        if self.backstore not in BACKSTORES:
            raise targets.TargetError(f"no backstore {self.backstore}: {', '.join(BACKSTORES)}")
        user, secret = self.chap or ("", "")
        return {
            "INITIATOR": self.initiator,
            "BACKSTORE": self.backstore,
            "SIZE_MIB": self.size_mib,
            "SIZE_PAGES": self.size_mib * 1024 // PAGE_KIB,
            "ERL": self.erl,
            "CONNECTIONS": self.connections,
            "DIGESTS": self.digests,
            "TIME2WAIT": self.time2wait_s,
            "TIME2RETAIN": self.time2retain_s,
            "IN_ORDER": "Yes" if self.data_in_order else "No",
            "RANDOM_OFFSETS": 0 if self.data_in_order else 1,
            "QUEUE_DEPTH": self.queue_depth,
            "CHAP_USER": user,
            "CHAP_SECRET": secret,
        }


# `set_to FILE VALUE` ends the guest when the kernel refuses: a target that is not what was asked
# for would be measured for it. No newline: in a name or a secret it would count.
SCRIPT = """
set_to() { printf %s "$2" >"$1" 2>/dev/null || give_up "LIO refuses $2 in $1"; }
modprobe -a configfs target_core_mod target_core_file iscsi_target_mod ||
    give_up "the guest's kernel has no LIO"
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
root=/sys/kernel/config/target
case $BACKSTORE in
ram)
    disk=$root/core/rd_mcp_0/disk0
    mkdir -p "$disk" || give_up "no RAM disk"
    set_to "$disk/control" "rd_pages=$SIZE_PAGES"
    ;;
file)
    mount -t tmpfs -o "size=$((SIZE_MIB + 8))m" tmpfs /mnt/lun
    truncate -s "${SIZE_MIB}M" /mnt/lun/disk
    disk=$root/core/fileio_0/disk0
    mkdir -p "$disk" || give_up "no file disk"
    set_to "$disk/control" "fd_dev_name=/mnt/lun/disk,fd_dev_size=$((SIZE_MIB * 1048576))"
    ;;
esac
set_to "$disk/enable" 1
# The same unit in each boot: an initiator refuses another disk behind a known name.
set_to "$disk/wwn/vpd_unit_serial" 5c0ffee0-0000-4000-8000-000000000001
mkdir -p "$root/iscsi/$IQN/tpgt_1" || give_up "no portal group"
group=$root/iscsi/$IQN/tpgt_1
mkdir -p "$group/lun/lun_0"
ln -s "$disk" "$group/lun/lun_0/disk" || give_up "no LUN"
set_to "$group/attrib/generate_node_acls" 0
set_to "$group/attrib/default_cmdsn_depth" "$QUEUE_DEPTH"
set_to "$group/attrib/default_erl" "$ERL"
set_to "$group/param/ErrorRecoveryLevel" "$ERL"
set_to "$group/param/MaxConnections" "$CONNECTIONS"
set_to "$group/param/HeaderDigest" "$DIGESTS"
set_to "$group/param/DataDigest" "$DIGESTS"
set_to "$group/param/DefaultTime2Wait" "$TIME2WAIT"
set_to "$group/param/DefaultTime2Retain" "$TIME2RETAIN"
set_to "$group/param/DataPDUInOrder" "$IN_ORDER"
set_to "$group/param/DataSequenceInOrder" "$IN_ORDER"
mkdir -p "$group/acls/$INITIATOR/lun_0" || give_up "no ACL"
acl=$group/acls/$INITIATOR
ln -s "$group/lun/lun_0" "$acl/lun_0/disk" || give_up "no LUN in the ACL"
set_to "$acl/attrib/default_erl" "$ERL"
set_to "$acl/attrib/random_datain_pdu_offsets" "$RANDOM_OFFSETS"
set_to "$acl/attrib/random_datain_seq_offsets" "$RANDOM_OFFSETS"
set_to "$acl/attrib/random_r2t_offsets" "$RANDOM_OFFSETS"
set_to "$acl/cmdsn_depth" "$QUEUE_DEPTH"
if [ -n "$CHAP_USER" ]; then
    set_to "$group/attrib/authentication" 1
    set_to "$acl/auth/userid" "$CHAP_USER"
    set_to "$acl/auth/password" "$CHAP_SECRET"
else
    set_to "$group/attrib/authentication" 0
fi
mkdir "$group/np/$GUEST_ADDRESS:$ISCSI_PORT" || give_up "no portal"
set_to "$group/enable" 1
rig phase=serving
# Until the host says otherwise.
while read -r word <&9; do
    case $word in
    look) log "session" <"$acl/info"; rig phase=looked ;;
    end) break ;;
    esac
done
for each in "$root/iscsi/$IQN/fabric_statistics/iscsi_sess_err"/*; do
    rig "lio_${each##*/}=$(cat "$each")"
done
"""


class Lio:
    """The booted target. A context manager; inside it the portal answers."""

    name = "lio"
    lun = 0
    iqn = targets.IQN
    host, port = network.GUEST_ADDRESS, targets.ISCSI_PORT

    def __init__(self, image, net, folder, settings):
        self.image, self.net, self.folder, self.settings = image, net, folder, settings
        self.facts = facts_module.Facts()
        self.guest = None
        self._stack = contextlib.ExitStack()
        self._ending = threading.Event()
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        payload = job.make_payload(self.folder, self._variables(), self._steps(), [])
        self.guest = guest.Guest(
            self.image, self.net, self.folder, payload, memory_mib=MEMORY_MIB
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.guest)
            stack.callback(self._stop_reading)
            self._reader.start()
            self._wait_for("serving", START_LIMIT_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(targets.TargetError, OSError):
            self.guest.tell("end")
            self._wait_for_end(STOP_LIMIT_S)
        self._stack.close()
        self.facts.console = facts_module.scan_console(self.guest.console_text())

    def _variables(self):
        return {**job.common_variables(self), **self.settings.variables()}

    @staticmethod
    def _steps():
        return ("network_up", "common_settings", SCRIPT, "finish")

    def _stop_reading(self):
        self._ending.set()
        self._reader.join()

    def _read(self):
        """Thread: QEMU stops when nobody empties its console, so somebody always does."""
        while not self._ending.is_set() and self.guest.is_running():
            for line in self.guest.poll(POLL_S):
                with self._news:
                    self.facts.take_line(line)
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _wait_for(self, phase, limit_s):
        deadline = time.monotonic() + limit_s
        with self._news:
            while self.facts.values.get("phase") != phase:
                self._complain()
                if time.monotonic() > deadline:
                    raise targets.TargetError(f"LIO's guest is not '{phase}' within {limit_s} s")
                self._news.wait(POLL_S)

    def _wait_for_end(self, limit_s):
        deadline = time.monotonic() + limit_s
        with self._news:
            while self.guest.is_running() and time.monotonic() < deadline:
                self._news.wait(POLL_S)

    def _complain(self):
        if "failed" in self.facts.values:
            raise targets.TargetError(self.facts.values["failed"])
        if not self.guest.is_running():
            tail = " / ".join(self.guest.console_text().splitlines()[-3:])
            raise targets.TargetError(f"LIO's guest has ended: {self.guest.crash() or tail}")

    def look(self):
        """What the kernel tells about the initiator's session: its state, connections, keys."""
        self.guest.tell("look")
        self._wait_for("looked", STOP_LIMIT_S)
        with self._news:
            self.facts.values["phase"] = "serving"
            return self.facts.logs.pop("session", [])

    def complaints(self):
        """What the guest's kernel complained about. To be asked after the end."""
        return {name: count for name, count in self.facts.console.items() if count}

    def own_counts(self):
        """The errors that the target counted. To be asked after the end."""
        found = self.facts.values.items()
        return {key[4:]: value for key, value in found if key.startswith("lio_")}
