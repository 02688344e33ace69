"""What a stage finds out about processes that its clients started, and its rows. Linux's /proc where there is one."""

import os
import signal
import time
from pathlib import Path

# Characters of a failure.
LONGEST = 1500


def left_behind(folder):
    """Ids of the processes that were started with a folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid() and os.fsencode(str(folder)) in variables:
            found.append(int(process.name))
    return found


def none_left(folder, patience=10):
    """Waits until no such process is left; those that stay are ended, and named by the error."""
    end = time.monotonic() + patience
    while left := left_behind(folder):
        if time.monotonic() > end:
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            raise AssertionError(f"{len(left)} processes were left behind, and ended by the stage")
        time.sleep(0.1)
    return "no process is left"


def check(holds, what):
    if not holds:
        raise AssertionError(what)


class Rows:
    """The rows of a stage; every failure is a row."""

    def __init__(self, stage) -> None:
        self.stage = stage
        self.failed = False

    def row(self, name, checked, *arguments):
        try:
            result = checked(*arguments)
        except Exception as error:  # noqa: BLE001
            self.failed = True
            result = f"**FAILED**: {type(error).__name__}: {error}"
            if len(result) > LONGEST:
                result = f"{result[: LONGEST // 2]} […] {result[-LONGEST // 2 :]}"
        result = " ".join(result.split()).replace("|", "/")
        print(f"| {self.stage} | {name} | {result} |", flush=True)
