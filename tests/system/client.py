"""Runs the client `holdfast` of the build in HF_BIN, with secrets in files."""

import contextlib
import os
import pathlib
import subprocess
import tempfile

# Exit codes of the client; docs/operating.md.
OK, FAILED, USAGE, AUTHENTICATION, NOT_FOUND, UNREACHABLE, PROTOCOL, MISMATCH = range(8)
NO_DAEMON, NOT_PERMITTED, TIER_TOO_LOW, EXISTS, TIMEOUT, DEVICE_ERROR = range(8, 14)

LIMIT_S = 120


def program():
    return pathlib.Path(os.environ.get("HF_BIN", "build/release/bin")) / "holdfast"


def missing():
    """Why the client cannot be run, or None."""
    return None if program().exists() else f"{program()} is not built"


class Ended:
    """How a run of the client ended."""

    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.complaint = process.stderr.decode("utf-8", "replace")

    def __str__(self):
        return f"exit code {self.code}: {self.complaint[-2000:]}"


@contextlib.contextmanager
def secret_file(secret):
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(secret + "\n")
        file.flush()
        yield file.name


@contextlib.contextmanager
def credentials(chap):
    """The options for these credentials, as long as their files exist."""
    with contextlib.ExitStack() as files:
        options = []
        if chap:
            options += ["--password-file", files.enter_context(secret_file(chap.secret))]
            if chap.is_mutual:
                options += ["--mutual-user", chap.target_user, "--mutual-password-file",
                            files.enter_context(secret_file(chap.target_secret))]
        yield options


def command(verb, url, *options):
    return [str(program()), verb, url, *options]


def run(verb, url, *options, chap=None, data=b"", limit_s=LIMIT_S):
    """Runs to the end. No terminal, so that nothing can be asked for."""
    with credentials(chap) as secrets:
        process = subprocess.run(command(verb, url, *options, *secrets), input=data,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s,
                                 env={**os.environ, "HOLDFAST_PASSWORD": "",
                                      "HOLDFAST_MUTUAL_PASSWORD": ""},
                                 start_new_session=True, check=False)
    return Ended(process)
