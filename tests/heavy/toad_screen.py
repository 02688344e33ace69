"""Toad, a client for the terminal that shows what comes at any time: what its user sees, read off tmux.

Started by toad.sh with the command that runs Toad. Prints one row of a Markdown table for each check; exits
with 1 if one failed. The model is reports.script, whose tasks end when there is a file of their name.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import Rows, check, none_left

PATIENCE = 15
# How long nothing may change before it counts as nothing.
QUIET = 1.0
REPORT = "A report has come:"


class Screen:
    """Toad in a tmux of its own."""

    def __init__(self, folder, toad) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        (folder / "home").mkdir()
        script = shutil.copy(Path(__file__).with_name("reports.script"), folder / "model.script")
        settings = folder / ".config" / "toad"
        settings.mkdir(parents=True)
        settings.joinpath("toad.json").write_text(json.dumps({"statistics": {"allow_collect": False}}))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TMUX_TMPDIR": str(folder),
            "TALARIA_HOME": str(folder / "home"),
            "TALARIA_MODEL": f"scripted:{script}",
            # It looks for a newer version of itself. Nothing leaves this machine.
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        agent = f"{shlex.quote(os.environ['TALARIA'])} acp"
        command = [*toad, "acp", agent, str(self.work), "--title", "Talaria"]
        self.tmux("-u", "-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "60", shlex.join(command))

    def tmux(self, *arguments):
        done = subprocess.run(
            ["tmux", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        check(done.returncode == 0, f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout

    def captured(self):
        return self.tmux("capture-pane", "-p").splitlines()

    def lines(self):
        """The conversation's part of the screen, to the right of the side bar."""
        lines = [line.rpartition("▎  ▌")[2] if "▎  ▌" in line else line for line in self.captured()]
        return [line.strip(" ▎▌▊") for line in lines]

    def text(self):
        return "\n".join(self.lines())

    def line(self, part):
        return next((line for line in self.lines() if part in line), "")

    def until(self, holds, what):
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                shown = " ⏎ ".join(line for line in self.lines() if line)
                raise AssertionError(f"{what} was not seen within {PATIENCE} s, but: {shown}")
            time.sleep(0.1)

    def see(self, text):
        self.until(lambda: text in self.text(), f"{text!r}")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def prompt(self, text):
        self.keys("-l", text)
        # In the box, which has a frame; the same text may stand above it from before.
        self.until(lambda: any(f"▊ ❯ {text} " in line for line in self.captured()), f"the prompt `{text}`")
        self.keys("Enter")

    def let(self, name):
        (self.folder / name).touch()


def start(screen):
    screen.see("How can I help you today?")
    # The mode is known once the session is open.
    screen.until(lambda: any("Talaria" in line and line.endswith("Ask") for line in screen.lines()), "the mode `Ask`")
    return "its prompt, the agent's name and the mode"


def chat(screen):
    screen.prompt("chat")
    screen.see("Hello, editor.")
    return "the answer"


def late_report(screen):
    """A card while the task runs; its tick and the text of the turn that follows come with no prompt open."""
    screen.prompt("count kiwis")
    screen.see("Counting kiwis.")
    screen.until(lambda: screen.line("`t1` ·"), "a card")
    time.sleep(QUIET)
    before = screen.line("`t1` ·")
    check("✔" not in before and REPORT not in screen.text(), screen.text())
    begin = time.monotonic()
    screen.let("kiwis")
    screen.until(lambda: "✔" in screen.line("`t1` ·"), "the card's tick")
    screen.until(lambda: "Three apples of kiwis." in screen.text().partition(REPORT)[2], "the report's text")
    took = time.monotonic() - begin
    time.sleep(QUIET)
    lines = screen.lines()
    first = next(index for index, line in enumerate(lines) if "Counting kiwis." in line)
    last = next(index for index, line in enumerate(lines) if "How can I help you" in line)
    late = " ⏎ ".join(line for line in lines[first + 1 : last] if line and not set(line) <= set("▔▁"))
    return f"card `{before}`, then `{screen.line('`t1` ·')}`; {took:.1f} s after the task's end, with nothing typed: \"{late}\""


def late_question(screen):
    """A task asks while no prompt is open: a dialog, answered by a key."""
    screen.prompt("write bob")
    screen.see("Writing to bob.")
    time.sleep(QUIET)
    screen.let("bob")
    screen.see("Always allow edits")
    # A long conversation may have pushed the call's title out of sight; the dialog is there.
    asked = screen.line("Write letter-to-bob.txt") or screen.line("Always allow edits")
    check(not (screen.work / "letter-to-bob.txt").exists(), "it is written before it was allowed")
    screen.keys("a")
    screen.until(lambda: (screen.work / "letter-to-bob.txt").exists(), "the letter")
    screen.until(lambda: "The letter to bob is written." in screen.text(), "the report's text")
    return f"a dialog with no prompt open, \"{asked}\"; allowed by a key, written, and the report followed"


def again(screen):
    """After all that it is an ordinary session."""
    screen.prompt("chat")
    # The first answer may be out of sight by now: the second one stands behind the report.
    behind = lambda: screen.text().rpartition("The letter to bob is written.")[2]
    screen.until(lambda: "Hello, editor." in behind(), "a second answer")
    return "the next prompt is answered"


def from_a_shell(screen):
    """Another program starts a task in the session while its chat runs, says something to it, and watches it."""

    def task(*arguments):
        command = [os.environ["TALARIA"], "task", *arguments]
        done = subprocess.run(
            command, cwd=screen.work, env=screen.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        check(done.returncode == 0, f"talaria task {arguments[0]}: exit {done.returncode}, {done.stderr}")
        return done.stdout

    screen.prompt("think about lunch")
    time.sleep(QUIET)
    begin = time.monotonic()
    started = json.loads(task("spawn", "--json", "apples of plums"))["tasks"][0]
    answered = time.monotonic() - begin
    name = started["taskId"]
    screen.until(lambda: screen.line(f"`{name}` ·"), "a card")
    check("I have thought about lunch." not in screen.text(), "the chat did not run any more")
    receipt = task("steer", name, "and pears").strip()
    screen.let("lunch")
    screen.see("I have thought about lunch.")
    screen.let("plums")
    report = task("collect", name)
    check("And three pears." in report, report)
    screen.until(lambda: "✔" in screen.line(f"`{name}` ·"), "the card's tick")
    screen.prompt("what came")
    given = f'<task_report id="{name}" state="completed">'
    screen.until(lambda: given in screen.text(), "the report in the conversation")
    return (
        f"spawned in {answered * 1000:.0f} ms, process included, while a prompt was open: `{screen.line(f'`{name}` ·')}`; "
        f"steered (\"{receipt}\"), collected, and the report went with the next prompt"
    )


def end(screen):
    screen.keys("C-q")
    return none_left(screen.folder)


def play(folder):
    rows = Rows("toad")
    screen = Screen(folder, sys.argv[1:])
    try:
        rows.row("start", start, screen)
        if not rows.failed:
            rows.row("a chat", chat, screen)
            rows.row("card and follow-up turn", late_report, screen)
            rows.row("permission out of turn", late_question, screen)
            rows.row("the next prompt", again, screen)
            rows.row("a task from a shell", from_a_shell, screen)
        rows.row("Ctrl+Q", end, screen)
    finally:
        subprocess.run(["tmux", "kill-server"], env=screen.environment, capture_output=True, timeout=PATIENCE)
    return rows.failed


with tempfile.TemporaryDirectory() as folder:
    sys.exit(1 if play(Path(folder).resolve()) else 0)
