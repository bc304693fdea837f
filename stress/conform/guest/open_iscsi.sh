# The guest's part of the preset open-iscsi: logs in, has scsi-copy do the I/O, logs out. Runs under
# dash, after rigkit's lib.sh. Lines of the host on descriptor 9:
#   given BYTES          what the next case writes; that many bytes follow
#   run NUMBER BASE64    a case; the text is shell variables and becomes $FOLDER/case
#   stop                 the case is over for the host: ends what runs and leaves the session
# and ours: `case=NUMBER CODE` when a case came to its end, `idle=NUMBER` when nothing is left of
# it, and the logs `data` (base64) and `said`.
FOLDER=/run/case
NODES=/etc/iscsi/nodes

set_up() {
    mkdir -p $FOLDER $NODES
    # The records of one case are gone with the next; nothing is to be written to a disk for them.
    mount -t tmpfs tmpfs $NODES
    cp /etc/iscsi/iscsid.conf /run/iscsid.conf
    echo InitiatorName=iqn.1993-08.org.debian:01:conform >/etc/iscsi/initiatorname.iscsi
    # Not sd_mod: it would read from the disk as soon as there is one.
    modprobe -a iscsi_tcp sg || give_up "no iscsi_tcp or sg"
    iscsid || give_up "iscsid does not start"
    wait_for 50 test -s /run/iscsid.pid || give_up "iscsid does not answer"
    rig "version=open-iscsi $(iscsiadm --version | tr -d '\n'), Linux $(uname -r)"
}

# A new record for this case alone. What stands later in the file counts.
make_record() {
    { cat /run/iscsid.conf; printf '%s\n' "$CONF"; } >/etc/iscsi/iscsid.conf
    rm -rf $NODES/*
    [ "$KIND" = discover ] || iscsiadm -m node -o new -T "$NAME" -p "$PORTAL"
}

# Asks for the unit, as `node.session.scan = manual` leaves to us, and sets DEVICE.
find_unit() {
    for host in /sys/class/iscsi_host/host*; do
        number=${host##*/host}
        echo "0 0 $UNIT" >"/sys/class/scsi_host/host$number/scan"
        for each in /sys/class/scsi_device/"$number":*/device/scsi_generic/sg*; do
            [ -e "$each" ] && DEVICE=/dev/${each##*/}
        done
    done
    [ -n "$DEVICE" ] || { echo "the kernel found no unit"; return 1; }
}

copy() {
    case $KIND in
    inquiry) ;;
    read) scsi-copy read $DEVICE "$BYTES" >$FOLDER/out ;;
    write) scsi-copy write $DEVICE "$BYTES" <$FOLDER/in ;;
    verify) scsi-copy verify $DEVICE "$BYTES" ;;
    esac
}

do_case() {
    make_record || return 1
    if [ "$KIND" = discover ]; then
        iscsiadm -m discovery -t sendtargets -o nonpersistent -p "$PORTAL"
        return
    fi
    iscsiadm -m node -T "$NAME" -p "$PORTAL" --login || return 1
    find_unit && copy
    done_so=$?
    iscsiadm -m node -T "$NAME" -p "$PORTAL" --logout || return 1
    return $done_so
}

# In a process group of its own, so that `stop` ends all of it.
begin_case() {
    rm -f $FOLDER/out $FOLDER/said
    setsid sh -c '
        . /payload/variables
        . /payload/lib.sh
        . /payload/open_iscsi.sh
        . $FOLDER/case
        do_case >$FOLDER/said 2>&1
        code=$?
        tail -c 600 $FOLDER/said >$FOLDER/last; log said <$FOLDER/last
        [ ! -s $FOLDER/out ] || rig "data=$(base64 -w0 $FOLDER/out)"
        rig "case=$NUMBER $code"
    ' 9>&9 &
    JOB=$!
}

no_session() { ! ls /sys/class/iscsi_session/session*; }

nothing_left() { no_session && ! kill -0 -"$JOB"; }

# Leaves every session, whatever state it is in. Who does not come to `idle` is booted anew. iscsid
# may be on its way to a session of which the kernel knows nothing yet, so it begins anew, too.
end_case() {
    if kill -9 -"$JOB" 2>/dev/null; then
        was_cut=1
    else
        was_cut=
    fi
    wait "$JOB" 2>/dev/null
    if ! no_session >/dev/null 2>&1; then
        iscsiadm -m session -u >/dev/null 2>&1 &
        leaving=$!
        wait_for 80 no_session
        kill -9 $leaving 2>/dev/null
        was_cut=1
    fi
    if [ -n "$was_cut" ]; then
        read -r server </run/iscsid.pid
        kill -9 "$server"
        rm -f /run/lock/iscsi/*  # Of an iscsiadm that was killed: the next one would wait for it.
        wait_for 20 nothing_left
        iscsid
    fi
    nothing_left >/dev/null 2>&1 && rig "idle=$NUMBER"
}

serve() {
    while read -r word rest <&9; do
        case $word in
        given) head -c "$rest" <&9 >$FOLDER/in ;;
        run)
            NUMBER=${rest%% *}
            printf %s "${rest#* }" | base64 -d >$FOLDER/case
            begin_case
            ;;
        stop) end_case ;;
        end) break ;;
        esac
    done
}
