"""fio as the load and the judge of data: its command line, and what it says read into numbers.

`parse_*` are pure.
"""

import json
import re

# One entry of the latency log per so many ms and direction is enough to see a gap.
LOG_WINDOW_MS = 1
DEPTH = 16
BACKLOG = 128
EXTRA_S = 60  # how long fio may take beyond its time before it is killed

# What fio prints for a block that is not what was written. One line each.
MISMATCH = re.compile(
    r"verify: bad (?:magic )?header|(?:crc32c|md5|meta|pattern): verify failed at|"
    r"verify failed at file|fio: verify type mismatch|verify: bad header",
)
IO_ERROR = re.compile(r"io_u error on file")


def command(socket, size_mib, seconds, folder, seed):
    """Writes at random and reads everything back, each block with its own checksum and number."""
    return [
        *("fio", "--name=verify", "--ioengine=nbd", f"--uri=nbd+unix:///?socket={socket}"),
        *("--rw=randwrite", "--bs=4k-64k", f"--size={size_mib}m", f"--iodepth={DEPTH}"),
        *("--verify=crc32c", f"--verify_backlog={BACKLOG}", "--verify_fatal=0"),
        *("--continue_on_error=all", "--serialize_overlap=1"),
        *("--time_based", f"--runtime={seconds}", f"--randseed={seed}"),
        *(f"--write_lat_log={folder}/fio", f"--log_avg_msec={LOG_WINDOW_MS}"),
        *("--log_max_value=1", "--log_unix_epoch=1", "--eta=never"),
        *("--output-format=json", f"--output={folder}/fio.json"),
    ]


def parse_log(text):
    """Times of completions, in seconds of Unix time and in order, from a latency log."""
    times = []
    for line in text.splitlines():
        words = line.split(",", 1)
        if words[0].strip().isdigit():
            times.append(int(words[0]) / 1000)
    times.sort()
    return times


def parse_complaints(text):
    """(blocks that came back wrong, requests that failed) from standard error."""
    lines = text.splitlines()
    wrong = sum(1 for line in lines if MISMATCH.search(line))
    failed = sum(1 for line in lines if IO_ERROR.search(line))
    return wrong, failed


def parse_json(text):
    """The figures of fio's JSON. Raises ValueError when it is none."""
    at = text.find("{")
    if at < 0:
        raise ValueError("fio has said nothing")
    job = json.loads(text[at:])["jobs"][0]
    latencies = [job[way]["lat_ns"]["max"] / 1e9 for way in ("read", "write")]
    return {
        "error": job["error"],
        "errors": job.get("total_err", 0),
        "writes": job["write"]["total_ios"],
        "reads": job["read"]["total_ios"],
        "written_bytes": job["write"]["io_bytes"],
        "read_bytes": job["read"]["io_bytes"],
        "latency_max_s": max(latencies),
    }
