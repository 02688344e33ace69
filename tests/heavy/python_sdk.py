"""A chat through the client of the official Python SDK, with the scripted model.

Started by python-sdk.sh. Prints one row of a Markdown table for each check; exits with 1 if one failed.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import acp
import python_sdk_reports
from python_sdk_editor import AGENT, Editor, Rows, check, ended, greet, surroundings

SCRIPT = """\
when prompt "chat"
  think "Let me see."
  say "Hello, "
  say "editor."
  usage input=100 output=5

when prompt "work"
  say "I will read."
  call read {"path": "notes.txt"}
then
  call edit {"path": "notes.txt", "old_text": "helo", "new_text": "hello"}
then
  call terminal {"command": "cat notes.txt && exit 3"}
then
  say "Done: ${outcome}"

when prompt "for ever"
  repeat 100000 "more " every 20ms

when prompt "delegate"
  call delegate_task_async {"tasks": [{"goal": "write it"}, {"goal": "think about it"}]}
then
  say "Started."

when prompt "write it*"
  call write {"path": "by-a-task.txt", "content": "done\\n"}
then
  say "Written."

when prompt "think about it*"
  say "Thinking. "
  gate thought
  say "Thought."

when prompt "hurry"
  say "Hurried."

when prompt "wait for both"
  call collect_task {"task_ids": ["t1", "t2"]}
then
  say "${outcome}"
"""


async def chat(agent, editor, session):
    answer = await agent.prompt(session_id=session, prompt=[acp.text_block("chat")])
    check(answer.stop_reason == "end_turn", answer)
    check(editor.text() == "Hello, editor.", editor.text())
    check(editor.text("agent_thought_chunk") == "Let me see.", editor.text("agent_thought_chunk"))
    check(all(update.message_id for update in editor.of("agent_message_chunk")), "chunks have message ids")
    check(editor.of("usage_update"), "usage was told")
    check(editor.of("available_commands_update"), "commands were told")
    return "text, thought, usage and commands"


async def work(agent, editor, session, notes):
    editor.updates.clear()
    answer = await agent.prompt(session_id=session, prompt=[acp.text_block("work")])
    check(answer.stop_reason == "end_turn", answer)
    check(editor.reads and set(editor.reads) == {str(notes)}, editor.reads)
    check(notes.read_text() == "hello from a buffer\n", notes.read_text())
    check(len(editor.asked) == 2, editor.asked)
    kinds = [start.kind for start in editor.of("tool_call")]
    check(kinds == ["read", "edit", "execute"], kinds)
    check(editor.statuses() == ["completed", "completed", "failed"], editor.statuses())
    contents = [
        content
        for update in editor.updates
        for content in (getattr(update, "content", None) or [])
        if update.session_update.startswith("tool_call")
    ]
    diffs = [content for content in contents if content.type == "diff"]
    check(diffs and diffs[-1].new_text == "hello from a buffer\n", diffs)
    shown = [content.terminal_id for content in contents if content.type == "terminal"]
    check(set(shown) == {"term-1"}, shown)
    check(editor.released == ["term-1"], editor.released)
    check("hello from a buffer" in editor.text() and "3" in editor.text(), editor.text())
    return "read and write through the client, edit and command after permission, in the client's terminal"


async def cancel(agent, editor, session):
    editor.updates.clear()
    prompt = asyncio.create_task(agent.prompt(session_id=session, prompt=[acp.text_block("for ever")]))
    await editor.until(lambda: len(editor.of("agent_message_chunk")) >= 5)
    await agent.cancel(session_id=session)
    answer = await prompt
    check(answer.stop_reason == "cancelled", answer)
    return "the prompt answers `cancelled`"


async def close(agent, session):
    await agent.close_session(session_id=session)
    try:
        await agent.prompt(session_id=session, prompt=[acp.text_block("chat")])
    except acp.RequestError as error:
        check(error.code == -32002, error)
        return "the session is unknown afterwards"
    raise AssertionError("a closed session took a prompt")


def shown(updates):
    """What a client keeps of a conversation: whole messages and calls, under their ids."""
    messages, calls = {}, {}
    for update in updates:
        if update.session_update.endswith("_message_chunk"):
            key = (update.session_update, update.message_id)
            messages[key] = messages.get(key, "") + getattr(update.content, "text", "")
        elif update.session_update in ("tool_call", "tool_call_update"):
            calls[update.tool_call_id] = update.status or calls.get(update.tool_call_id)
    said = {id: text for (kind, id), text in messages.items() if kind == "agent_message_chunk"}
    asked = [text for (kind, _), text in messages.items() if kind == "user_message_chunk"]
    return said, asked, calls


async def list_sessions(agent, session, work_folder):
    answer = await agent.list_sessions(cwd=str(work_folder))
    found = [info for info in answer.sessions if info.session_id == session]
    check(len(found) == 1, answer)
    check(found[0].title and found[0].updated_at, found)
    elsewhere = await agent.list_sessions(cwd=str(work_folder.parent))
    check(elsewhere.sessions == [], elsewhere)
    return f"found by its folder, as \"{found[0].title}\""


async def load(agent, editor, session, work_folder, before):
    await agent.load_session(cwd=str(work_folder), session_id=session, mcp_servers=[])
    said, asked, calls = shown(editor.updates)
    told, _, called = shown(before)
    check(asked == ["chat", "work", "for ever"], asked)
    # Nothing follows the answer but commands: what is shown now is all of the replay.
    check(said == told, (said, told))
    check(calls == called, (calls, called))
    check(not editor.asked, editor.asked)
    return f"{len(editor.updates)} updates, with the texts and ids that were told: {', '.join([*said, *calls])}"


async def go_on(agent, editor, session):
    editor.updates.clear()
    answer = await agent.prompt(session_id=session, prompt=[acp.text_block("chat")])
    check(answer.stop_reason == "end_turn", answer)
    check(editor.text() == "Hello, editor.", editor.text())
    return "the loaded session answers"


async def fork(agent, editor, session, work_folder):
    answer = await agent.fork_session(cwd=str(work_folder), session_id=session)
    check(answer.session_id != session, answer)
    editor.updates.clear()
    await agent.prompt(session_id=answer.session_id, prompt=[acp.text_block("chat")])
    check(editor.text() == "Hello, editor.", editor.text())
    await agent.close_session(session_id=answer.session_id)
    await agent.resume_session(cwd=str(work_folder), session_id=answer.session_id)
    return "a copy that answers, is closed and resumed"


async def tasks(agent, editor, work_folder, gate):
    answer = await agent.new_session(cwd=str(work_folder), mcp_servers=[])
    session = answer.session_id

    async def prompt(text):
        editor.updates.clear()
        answer = await agent.prompt(session_id=session, prompt=[acp.text_block(text)])
        check(answer.stop_reason == "end_turn", answer)
        told.extend(editor.updates)
        return editor.text()

    told = []
    check("Started." in await prompt("delegate"), editor.text())
    check("Hello, editor." in await prompt("chat"), editor.text())
    listed = await prompt("/tasks")
    check("`t2` running" in listed and "`t1`" in listed, listed)
    check("next request" in await prompt("/steer t2 hurry"), editor.text())
    gate.touch()
    collected = await prompt("wait for both")
    check("Written." in collected and "Hurried." in collected, collected)
    # However often it is asked, it has the same id.
    asked = {call.tool_call_id for call in editor.asked}
    check(asked == {"task-t1/c1"}, asked)
    check((work_folder / "by-a-task.txt").read_text() == "done\n", "the task wrote its file")
    marks = {}
    for update in told:
        if update.session_update in ("tool_call", "tool_call_update"):
            mark = ((update.field_meta or {}).get("talaria") or {}).get("task")
            if mark and update.tool_call_id == f"task-{mark['id']}":
                marks[update.tool_call_id] = (mark["state"], update.status)
    ends = {"task-t1": ("completed", "completed"), "task-t2": ("completed", "completed")}
    check(marks == ends, marks)
    await agent.close_session(session_id=session)
    return "two in the background while the chat goes on: one asks and writes, one is steered, both are collected"


async def play(folder):
    work_folder = folder / "work"
    work_folder.mkdir()
    (folder / "home").mkdir()
    (folder / "model.script").write_text(SCRIPT)
    notes = work_folder / "notes.txt"
    notes.write_text("old\n")
    editor = Editor()
    editor.buffers[str(notes)] = "helo from a buffer\n"
    told = []
    environment = surroundings(folder, folder / "model.script")
    rows = Rows("python-sdk")
    row = rows.row

    async with acp.spawn_agent_process(editor, AGENT, "acp", env=environment) as (agent, process):
        session = None

        async def new_session():
            nonlocal session
            answer = await agent.new_session(cwd=str(work_folder), mcp_servers=[])
            session = answer.session_id
            modes = [mode.id for mode in answer.modes.available_modes]
            check("ask" in modes, modes)
            return f"modes {', '.join(modes)}"

        await row("initialize", greet(agent, "python-sdk"))
        await row("new session", new_session())
        await row("a chat", chat(agent, editor, session))
        told.extend(editor.updates)
        await row("read, edit, run", work(agent, editor, session, notes))
        told.extend(editor.updates)
        await row("cancel", cancel(agent, editor, session))
        told.extend(editor.updates)
        await row("close", close(agent, session))
    await row("end of input", ended(process))

    editor = Editor()
    async with acp.spawn_agent_process(editor, AGENT, "acp", env=environment) as (agent, process):
        await row("initialize, second process", greet(agent, "talaria"))
        await row("list", list_sessions(agent, session, work_folder))
        await row("load", load(agent, editor, session, work_folder, told))
        await row("go on", go_on(agent, editor, session))
        await row("fork, resume", fork(agent, editor, session, work_folder))
        editor.asked.clear()
        await row("background tasks", tasks(agent, editor, work_folder, folder / "thought"))
    await row("end of input, second process", ended(process))
    await python_sdk_reports.play(rows, folder / "reports")
    return rows.failed


with tempfile.TemporaryDirectory() as folder:
    sys.exit(1 if asyncio.run(play(Path(folder).resolve())) else 0)
