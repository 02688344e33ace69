"""Where the reports of background tasks go: once with a client of which nothing is known, whose prompt is
held, and once as a client that shows what comes late, with the turn that starts by itself.

A part of python_sdk.py. The model is reports.script, whose tasks end when there is a file of their name.
"""

import asyncio
import shutil
import time
from pathlib import Path

import acp
from python_sdk_editor import AGENT, Editor, Rows, check, ended, greet, surroundings

# How long nothing may come before it counts as nothing.
QUIET = 1.0
REPORT = "A report has come:"


class Desk:
    """A session, its editor, and the files that let its tasks go on."""

    def __init__(self, agent, editor, session, folder) -> None:
        self.agent = agent
        self.editor = editor
        self.session = session
        self.folder = folder
        self.open = 0
        self.answers = []

    def prompt(self, text):
        """Sends a prompt; the task's result is why it ended and the time it took."""
        return asyncio.create_task(self.answered(text))

    async def answered(self, text):
        self.open += 1
        begin = time.monotonic()
        try:
            answer = await self.agent.prompt(session_id=self.session, prompt=[acp.text_block(text)])
        finally:
            self.open -= 1
            self.answers.append(text)
        return answer.stop_reason, time.monotonic() - begin

    def let(self, name):
        (self.folder / name).touch()

    def said(self):
        """Texts and calls: what a client that loses it would miss."""
        kinds = ("agent_message_chunk", "tool_call", "tool_call_update")
        return [update for update in self.editor.updates if update.session_update in kinds]

    def reported(self, text):
        """Whether the model has said what a report said: so it was given it."""
        return text in self.editor.text().partition(REPORT)[2]

    async def heard(self, text):
        await self.editor.until(lambda: text in self.editor.text())

    async def nothing_comes(self):
        before = len(self.said())
        await asyncio.sleep(QUIET)
        late = self.said()[before:]
        check(not late, f"came after the answer: {late}")


async def desk(agent, editor, folder):
    answer = await agent.new_session(cwd=str(folder / "work"), mcp_servers=[])
    editor.updates.clear()
    editor.asked.clear()
    return Desk(agent, editor, answer.session_id, folder)


async def held(desk):
    """The prompt stays open while its task runs; the report starts the next step."""
    prompt = desk.prompt("count pears")
    await desk.heard("Counting pears.")
    await asyncio.sleep(QUIET)
    check(not prompt.done(), "answered while its task runs")
    check(REPORT not in desk.editor.text(), desk.editor.text())
    desk.let("pears")
    reason, took = await prompt
    check(reason == "end_turn", reason)
    check(desk.reported("Three apples of pears."), desk.editor.text())
    check(desk.editor.card("t1") == ("completed", True), desk.editor.card("t1"))
    await desk.nothing_comes()
    return f"open for {took:.1f} s with its task; card and report came before `end_turn`, nothing in {QUIET:.0f} s after"


async def question_while_held(desk):
    """A task of a held prompt may ask: the prompt is open."""
    prompt = desk.prompt("write ann")
    await desk.heard("Writing to ann.")
    check(not desk.editor.asked, desk.editor.asked)
    desk.let("ann")
    reason, _ = await prompt
    check(reason == "end_turn", reason)
    check(len(desk.editor.asked) == 1, desk.editor.asked)
    check((desk.folder / "work" / "letter-to-ann.txt").read_text() == "Dear ann\n", "the letter")
    check(desk.reported("The letter to ann is written."), desk.editor.text())
    return f"asked as \"{desk.editor.asked[0].title}\", allowed, written, reported in the same prompt"


async def cancelled_while_held(desk):
    """A cancel ends the prompt and not the task; its end is told at the start of the next prompt."""
    prompt = desk.prompt("count plums")
    await desk.heard("Counting plums.")
    check(not prompt.done(), "answered while its task runs")
    begin = time.monotonic()
    await desk.agent.cancel(session_id=desk.session)
    reason, _ = await prompt
    took = time.monotonic() - begin
    check(reason == "cancelled", reason)
    line = desk.editor.text().split("Counting plums.")[-1].strip()
    check("`t1`" in line, f"no line names the task: {line!r}")
    desk.let("plums")
    await desk.nothing_comes()
    desk.editor.updates.clear()
    reason, _ = await desk.prompt("chat")
    check(reason == "end_turn", reason)
    check(desk.editor.card("t1") == ("completed", True), desk.editor.card("t1"))
    first = desk.said()[0].session_update
    check(first == "tool_call", f"the card does not come first: {first}")
    check("Hello, editor." in desk.editor.text(), desk.editor.text())
    return f"`cancelled` after {took * 1000:.0f} ms, with \"{line}\"; nothing came until the next prompt, which began with the whole card"


async def second_prompt(desk):
    """A second prompt ends the hold of the first, which is answered before."""
    first = desk.prompt("count figs")
    await desk.heard("Counting figs.")
    check(not first.done(), "answered while its task runs")
    second = desk.prompt("chat")
    reasons = [(await first)[0], (await second)[0]]
    check(reasons == ["end_turn", "end_turn"], reasons)
    check(desk.answers == ["count figs", "chat"], desk.answers)
    check("Hello, editor." in desk.editor.text(), desk.editor.text())
    desk.let("figs")
    await desk.nothing_comes()
    return "both `end_turn`, the held one first, while the task goes on"


async def detached(desk):
    """`/detach` gives the prompt back."""
    first = desk.prompt("count dates")
    await desk.heard("Counting dates.")
    check(not first.done(), "answered while its task runs")
    detach = desk.prompt("/detach")
    check((await first)[0] == "end_turn", "the held prompt")
    check((await detach)[0] == "end_turn", "the command")
    desk.let("dates")
    await desk.nothing_comes()
    return "the held prompt is answered `end_turn`"


def over(text):
    """What is said behind the turn that a report has started."""
    return text.rpartition("```")[2].strip()


async def follow_up(desk):
    """The prompt is answered at once; the report starts a turn of its own, with no prompt open."""
    reason, took = await desk.prompt("count kiwis")
    check(reason == "end_turn", reason)
    check(REPORT not in desk.editor.text(), desk.editor.text())
    check(desk.editor.card("t1") == ("in_progress", True), desk.editor.card("t1"))
    await desk.nothing_comes()
    desk.editor.updates.clear()
    begin = time.monotonic()
    desk.let("kiwis")
    await desk.editor.until(lambda: desk.reported("Three apples of kiwis."))
    late = time.monotonic() - begin
    check(desk.open == 0, "a prompt was open")
    check(desk.editor.card("t1")[0] == "completed", desk.editor.card("t1"))
    check("`t1`" in desk.editor.text().split(REPORT)[0], f"no line says what starts it: {desk.editor.text()!r}")
    chunks = len(desk.editor.of("agent_message_chunk"))
    await asyncio.sleep(QUIET)
    said = desk.editor.text()
    check(over(said), f"no line says that it is over: {said!r}")
    # Toad joins texts that follow each other: a blank line must be between the line and the reply.
    check(said.split(REPORT)[0].endswith("\n\n"), f"the line and the reply would be one: {said.split(REPORT)[0] + REPORT!r}")
    # Not twice: the next prompt is not given the same report.
    desk.editor.updates.clear()
    await desk.prompt("chat")
    check(REPORT not in desk.editor.text(), desk.editor.text())
    shown = " … ".join(" ".join(part.split()) for part in (said.split(REPORT)[0] + REPORT, over(said)))
    return f"answered after {took * 1000:.0f} ms; {late:.1f} s after the task's end, with no prompt open, {chunks} chunks: \"{shown}\""


async def late_question(desk):
    """A task may ask while no prompt is open."""
    reason, _ = await desk.prompt("write bob")
    check(reason == "end_turn", reason)
    check(not desk.editor.asked, desk.editor.asked)
    desk.let("bob")
    await desk.editor.until(lambda: desk.reported("The letter to bob is written."))
    check(desk.open == 0, "a prompt was open")
    check(len(desk.editor.asked) == 1, desk.editor.asked)
    check((desk.folder / "work" / "letter-to-bob.txt").read_text() == "Dear bob\n", "the letter")
    return f"asked as \"{desk.editor.asked[0].title}\" with no prompt open, allowed, written; the report followed"


async def stopped(desk):
    """`/stop` ends all tasks, and nothing starts because of them."""
    await desk.prompt("count grapes")
    desk.editor.updates.clear()
    reason, _ = await desk.prompt("/stop")
    check(reason == "end_turn", reason)
    await desk.editor.until(lambda: desk.editor.card("t1")[0] == "failed")
    await asyncio.sleep(3 * QUIET)
    check(REPORT not in desk.editor.text(), desk.editor.text())
    return f"\"{' '.join(desk.editor.text().split())}\"; no turn starts in {3 * QUIET:.0f} s"


async def told_twice(desk):
    """A client that shows what comes late, and may lose it again: it is told with the next prompt, too."""
    await desk.prompt("count nuts")
    desk.editor.updates.clear()
    desk.let("nuts")
    await desk.editor.until(lambda: desk.reported("Three apples of nuts."))
    await asyncio.sleep(QUIET)
    check(desk.editor.card("t1")[0] == "completed", desk.editor.card("t1"))
    desk.editor.updates.clear()
    reason, _ = await desk.prompt("chat")
    check(reason == "end_turn", reason)
    check(desk.editor.card("t1") == ("completed", True), desk.editor.card("t1"))
    before, _, after = desk.editor.text().partition("Hello, editor.")
    check("Three apples of nuts." in before.partition(REPORT)[2], desk.editor.text())
    check(not after, after)
    return "card and text came with no prompt open, and once more at the start of the next prompt, before its answer"


async def chain(desk):
    """Two reports that come together start one turn."""
    await desk.prompt("count limes")
    await desk.prompt("count lemons")
    desk.editor.updates.clear()
    desk.let("limes")
    desk.let("lemons")
    await desk.editor.until(lambda: desk.reported("Three apples of limes.") and desk.reported("Three apples of lemons."))
    await asyncio.sleep(3 * QUIET)
    check(desk.editor.text().count(REPORT) == 1, desk.editor.text())
    for task in ("t1", "t2"):
        check(desk.editor.card(task)[0] == "completed", desk.editor.card(task))
    desk.editor.updates.clear()
    await desk.prompt("chat")
    check(desk.editor.text() == "Hello, editor.", desk.editor.text())
    return "two reports, one turn; the next prompt is only answered"


async def play(rows: Rows, folder: Path):
    for client, version, checks in CLIENTS:
        home = folder / client
        (home / "work").mkdir(parents=True)
        (home / "home").mkdir()
        script = shutil.copy(Path(__file__).with_name("reports.script"), home / "model.script")
        editor = Editor()
        async with acp.spawn_agent_process(editor, AGENT, "acp", env=surroundings(home, script)) as (agent, process):
            await rows.row("initialize", greet(agent, client, version))
            for name, checked in checks:

                async def run(checked=checked):
                    session = await desk(agent, editor, home)
                    try:
                        return await checked(session)
                    finally:
                        await agent.close_session(session_id=session.session)

                await rows.row(f"{name}, as `{client}`", run())
        await rows.row(f"end of input, as `{client}`", ended(process))


LOSING = [
    ("held prompt", held),
    ("held prompt, permission", question_while_held),
    ("held prompt, cancel", cancelled_while_held),
    ("held prompt, second prompt", second_prompt),
    ("held prompt, `/detach`", detached),
]
GOOD = [
    ("follow-up turn", follow_up),
    ("permission out of turn", late_question),
    ("follow-up turn, two reports", chain),
    ("`/stop`", stopped),
]
TWICE = [("follow-up turn, told twice", told_twice)]
# Under these names; what is known of them is in the table of `acp::profiles`.
CLIENTS = [("somebody", "1", LOSING), ("talaria", "1", GOOD), ("vscode-acp-client", "0.2.0", TWICE)]
