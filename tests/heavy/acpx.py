"""acpx, a client for the command line that loses what comes while no prompt is open: what its user reads.

Started by acpx.sh. Prints one row of a Markdown table for each check; exits with 1 if one failed.
The model is reports.script, whose tasks end when there is a file of their name.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from processes import Rows, check, left_behind, none_left

PATIENCE = 20
# How long a prompt is watched to stay open.
QUIET = 1.0
REPORT = "A report has come:"


class Acpx:
    def __init__(self, folder) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        (folder / "home").mkdir()
        script = shutil.copy(Path(__file__).with_name("reports.script"), folder / "model.script")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TALARIA_HOME": str(folder / "home"),
            "TALARIA_MODEL": f"scripted:{script}",
        }

    def start(self, *arguments, format="text"):
        """Runs acpx; `--ttl 1`, so that what it leaves in the background ends soon."""
        command = ["acpx", "--approve-all", "--ttl", "1", "--format", format]
        command += ["--agent", f"{os.environ['TALARIA']} acp", *arguments]
        return Run(subprocess.Popen(
            command,
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ))

    def let(self, name):
        (self.folder / name).touch()


class Run:
    """A running acpx and what it has printed."""

    def __init__(self, process) -> None:
        self.process = process
        self.printed = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        # By pieces, not lines: what the model says need not end one.
        while piece := os.read(self.process.stdout.fileno(), 65536):
            self.printed += piece

    def output(self):
        return self.printed.decode(errors="replace")

    def until(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.output():
            if time.monotonic() > end or (self.process.poll() is not None and not self.reader.is_alive()):
                self.process.kill()
                raise AssertionError(f"{text!r} was not printed, but: {self.output()}")
            time.sleep(0.02)

    def ended(self):
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"acpx did not end; it printed: {self.output()}") from None
        self.reader.join(PATIENCE)
        check(code == 0, f"exit code {code}: {self.output()}")
        return self.output()


def chat(acpx):
    output = acpx.start("exec", "chat").ended()
    check("Hello, editor." in output and "[done] end_turn" in output, output)
    return "the text, then `[done] end_turn`"


def permission(acpx):
    notes = acpx.work / "notes.txt"
    notes.write_text("helo\n")
    output = acpx.start("exec", "mend notes").ended()
    check("Mended." in output, output)
    check(notes.read_text() == "hello\n", notes.read_text())
    return "an edit, approved by its policy"


def delegate(acpx):
    run = acpx.start("exec", "count pears")
    run.until("Counting pears.")
    begin = time.monotonic()
    time.sleep(QUIET)
    check("[done]" not in run.output(), f"answered while its task runs: {run.output()}")
    check(run.process.poll() is None, run.output())
    acpx.let("pears")
    output = run.ended()
    took = time.monotonic() - begin
    before, done, _ = output.partition("[done] end_turn")
    check(done, output)
    check("Three apples of pears." in before.partition(REPORT)[2], f"the report is not there: {output}")
    check("`t1`" in before and "(completed)" in before, f"no card that is completed: {output}")
    check("interrupted" not in output, output)
    return f"`acpx exec` stays for {took:.1f} s, until the task has ended; its user reads what the report says and the completed card before `[done]`"


def wire(acpx):
    run = acpx.start("exec", "count plums", format="json")
    run.until("Counting plums.")
    acpx.let("plums")
    messages = [json.loads(line) for line in run.ended().splitlines() if line.startswith("{")]
    client = [message["params"]["clientInfo"] for message in messages if message.get("method") == "initialize"]
    answer = [index for index, message in enumerate(messages) if "stopReason" in (message.get("result") or {})]
    check(len(answer) == 1, messages)
    kinds = ("agent_message_chunk", "tool_call", "tool_call_update")
    updates = [
        (index, message["params"]["update"])
        for index, message in enumerate(messages)
        if message.get("method") == "session/update"
    ]
    told = [(index, update) for index, update in updates if update["sessionUpdate"] in kinds]
    late = [update for index, update in told if index > answer[0]]
    check(not late, f"came after the answer: {late}")
    text = "".join(update["content"]["text"] for _, update in told if update["sessionUpdate"] == kinds[0])
    check("Three apples of plums." in text.partition(REPORT)[2], text)
    name, version = client[0]["name"], client[0]["version"]
    return f"as `{name}` {version}: {len(told)} texts and updates of calls, all before the answer"


def task_asks(acpx):
    run = acpx.start("exec", "write ann")
    run.until("Writing to ann.")
    acpx.let("ann")
    output = run.ended()
    said = output.partition("[done]")[0].partition(REPORT)[2]
    check("The letter to ann is written." in said, output)
    check((acpx.work / "letter-to-ann.txt").read_text() == "Dear ann\n", "the letter")
    return "a task of the held prompt asks, the policy allows, the report is read"


def session(acpx):
    """A session that acpx keeps: its prompt is cancelled while it is held, and the next one says the rest."""
    acpx.start("sessions", "new").ended()
    run = acpx.start("prompt", "count figs")
    run.until("Counting figs.")
    time.sleep(QUIET)
    check("[done]" not in run.output(), f"answered while its task runs: {run.output()}")
    acpx.start("cancel").ended()
    code = run.process.wait(PATIENCE)
    run.reader.join(PATIENCE)
    check("[done] cancelled" in run.output(), f"exit code {code}: {run.output()}")
    line = run.output().split("Counting figs.")[-1].split("[")[0]
    check("`t1`" in line, f"no line names the task: {run.output()}")
    acpx.start("sessions", "close").ended()
    return f"`acpx cancel` ends the held prompt; its user reads \"{line.strip()}\""


def play(folder):
    rows = Rows("acpx")
    acpx = Acpx(folder)
    rows.row("a chat", chat, acpx)
    rows.row("permission", permission, acpx)
    rows.row("a prompt that delegates", delegate, acpx)
    rows.row("the same on the wire", wire, acpx)
    rows.row("a task that asks", task_asks, acpx)
    rows.row("a kept session, `acpx cancel`", session, acpx)
    rows.row("the end", none_left, folder)
    return rows.failed


with tempfile.TemporaryDirectory() as folder:
    try:
        failed = play(Path(folder).resolve())
    finally:
        # Only after an error of the stage itself is there anything to end.
        if left_behind(folder):
            try:
                none_left(folder, patience=0)
            except AssertionError as error:
                print(error, file=sys.stderr)
sys.exit(1 if failed else 0)
