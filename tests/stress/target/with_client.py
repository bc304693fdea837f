#!/usr/bin/env python3
"""The target and the client `holdfast verify` against each other: every negotiated form of data
transfer, every CHAP algorithm, and the faults that a client survives within seconds.

usage: with_client.py BIN_FOLDER [PATTERN]

Exit code 77 when the client is not built.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PORT = 13320
URL = f"iscsi://user@127.0.0.1:{PORT}/iqn.2026-01.net.holdfast:ram/0"
LIMIT_S = 90
SECRETS = ("a longer secret".replace(" ", "-"), "another-longer-secret")

FORMS = {
    "defaults": "",
    "solicited data only": "--initial-r2t 1 --immediate-data 0 --r2t-size 8192",
    "shuffled": "--initial-r2t 1 --shuffle --data-pdu-in-order 0 --data-sequence-in-order 0 "
                "--r2t-size 4096",
    "digests required": "--header-digest required --data-digest required",
    "no digests": "--header-digest none --data-digest none",
    "smallest bursts": "--max-recv 0 --first-burst 512 --max-burst 512",
    "status apart, window of one": "--status-in-data 0 --queue-depth 1",
    "StatSN about to wrap": "--first-stat-sn 4294967290",
    "a proposal of the target": "--propose X-com.example.key=1 --propose FirstBurstLength=65536",
    "4096-byte blocks": "--lun size=64M,block=4096",
} | {f"CHAP {name}": f"--chap-algorithms {name} --chap user%{SECRETS[0]} --mutual tgt%{SECRETS[1]}"
     for name in ("md5", "sha1", "sha256", "sha3-256")}

# The fault, and how often it must have struck at least.
FAULTS = {
    "every-commands=100 times=2 reset": 2,
    "every-commands=100 times=2 close": 2,
    "prob=0.05 op=command busy": 1,
    "prob=0.05 op=command task-set-full": 1,
    "every-commands=40 unit-attention 29/00": 1,
    "command=60 op=read corrupt-digest data": 1,
    "command=60 corrupt-digest header": 1,
    "command=60 close-at-byte 20": 1,
    "after-pdus=60 async-logout 3": 1,
    "after-pdus=60 async-drop 1": 1,
    "after-pdus=60 async-drop-all 1": 1,
    "after-pdus=60 async-negotiate 3": 1,
    "after-pdus=60 async-sense 3f/0e": 1,
    "after-pdus=60 async-vendor": 1,
    "after-pdus=60 garbage 4096": 1,
    "after-pdus=60 ping": 1,
    "after-pdus=60 stop-answering 2s": 1,
    "after-pdus=60 op=write hold-write 1s": 1,
    "after-pdus=60 reject waiting-for-logout": 1,
    "every-commands=30 op=read delay 50ms": 1,
}


def run_case(programs, folder, words):
    """Runs `verify` against a target with these words; returns (sentence or None, statistics)."""
    stats = folder / "stats.json"
    lun = [] if "--lun" in words else ["--lun", "size=64M,thin"]
    target = subprocess.Popen(
        [str(programs / "holdfast-target"), "--listen", f"127.0.0.1:{PORT}", "--stats", str(stats),
         *lun, *words], stdout=subprocess.PIPE, text=True)
    try:
        if not target.stdout.readline().startswith("listening"):
            return "the target did not start", {}
        ended = subprocess.run(
            [str(programs / "holdfast"), "verify", URL, "--length", "16MiB", "--timeout", "20",
             "--patience", "60", "--password-file", str(folder / "secret"), "--mutual-user", "tgt",
             "--mutual-password-file", str(folder / "mutual")]
            if "--chap" in words else
            [str(programs / "holdfast"), "verify", URL.replace("user@", ""), "--length", "16MiB",
             "--timeout", "20", "--patience", "60"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
            check=False)
    finally:
        target.terminate()
        target.wait()
    told = json.loads(stats.read_text())
    if ended.returncode != 0:
        return f"verify: exit {ended.returncode}: {ended.stdout[-200:].strip()}", told
    if told["violations"]:
        return f"violations: {told['violations']}", told
    return None, told


def check(programs, folder, words, faults_least):
    problem, told = run_case(programs, folder, words)
    if problem is None and sum(told["faults"].values()) < faults_least:
        problem = f"the fault did not strike: {told['faults']}"
    return problem


def main():
    programs = pathlib.Path(sys.argv[1])
    pattern = sys.argv[2] if len(sys.argv) > 2 else ""
    if not (programs / "holdfast").exists():
        print("skipped: the client holdfast is not built")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file, secret in zip(("secret", "mutual"), SECRETS):
            with open(os.open(folder / file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
                out.write(secret)
        cases = {name: (words.split(), 0) for name, words in FORMS.items()}
        cases |= {fault: (["--fault", fault], least) for fault, least in FAULTS.items()}
        for case, (words, least) in cases.items():
            if pattern not in case:
                continue
            problem = check(programs, folder, words, least)
            print(f"ok   {case}" if problem is None else f"FAIL {case}: {problem}", flush=True)
            failed += problem is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
