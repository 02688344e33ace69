"""An editor made of the client of the official Python SDK, and what its stages need besides."""

import asyncio
import os
import signal
from pathlib import Path

import acp
from acp import schema

AGENT = os.environ["TALARIA"]
PATIENCE = 20
# Characters of a failure.
LONGEST = 1500


class Editor(acp.Client):
    """An editor whose buffers are its own: what is on the disk is older."""

    def __init__(self) -> None:
        self.buffers: dict[str, str] = {}
        self.updates: list = []
        self.asked: list = []
        self.reads: list[str] = []
        self.terminals: dict[str, asyncio.subprocess.Process] = {}
        self.outputs: dict[str, bytes] = {}
        self.released: list[str] = []
        self.came = asyncio.Event()

    async def session_update(self, session_id, update, **kwargs):
        self.updates.append(update)
        self.came.set()

    async def request_permission(self, session_id, tool_call, options, **kwargs):
        self.asked.append(tool_call)
        allow = next(option for option in options if option.kind == "allow_once")
        outcome = schema.AllowedOutcome(outcome="selected", option_id=allow.option_id)
        return schema.RequestPermissionResponse(outcome=outcome)

    async def read_text_file(self, session_id, path, line=None, limit=None, **kwargs):
        self.reads.append(path)
        lines = self.buffers[path].splitlines(keepends=True)
        first = (line or 1) - 1
        last = None if limit is None else first + limit
        return schema.ReadTextFileResponse(content="".join(lines[first:last]))

    async def write_text_file(self, session_id, path, content, **kwargs):
        self.buffers[path] = content
        Path(path).write_text(content)
        return schema.WriteTextFileResponse()

    async def create_terminal(self, session_id, command, args=None, env=None, cwd=None, **kwargs):
        process = await asyncio.create_subprocess_exec(
            command,
            *(args or []),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        terminal = f"term-{len(self.terminals) + 1}"
        self.terminals[terminal] = process
        return schema.CreateTerminalResponse(terminal_id=terminal)

    async def wait_for_terminal_exit(self, session_id, terminal_id, **kwargs):
        output, _ = await self.terminals[terminal_id].communicate()
        self.outputs[terminal_id] = output
        return schema.WaitForTerminalExitResponse(exit_code=self.terminals[terminal_id].returncode)

    async def terminal_output(self, session_id, terminal_id, **kwargs):
        code = self.terminals[terminal_id].returncode
        status = None if code is None else schema.TerminalExitStatus(exit_code=code)
        output = self.outputs.get(terminal_id, b"").decode()
        return schema.TerminalOutputResponse(output=output, truncated=False, exit_status=status)

    async def kill_terminal(self, session_id, terminal_id, **kwargs):
        os.killpg(self.terminals[terminal_id].pid, signal.SIGKILL)
        return schema.KillTerminalResponse()

    async def release_terminal(self, session_id, terminal_id, **kwargs):
        self.released.append(terminal_id)
        return schema.ReleaseTerminalResponse()

    def of(self, kind):
        return [update for update in self.updates if update.session_update == kind]

    def text(self, kind="agent_message_chunk"):
        return "".join(update.content.text for update in self.of(kind))

    def card(self, task):
        """The last status of a task's card, and whether it was told in full."""
        told = [update for update in self.updates if getattr(update, "tool_call_id", None) == f"task-{task}"]
        statuses = [update.status for update in told if update.status]
        return (statuses[-1] if statuses else None), any(update.session_update == "tool_call" for update in told)

    async def until(self, holds):
        """Waits until it holds of what was told."""
        while not holds():
            self.came.clear()
            await self.came.wait()

    def statuses(self):
        """The last status of each call, by the call's title or kind."""
        last = {}
        for update in self.updates:
            if update.session_update in ("tool_call", "tool_call_update") and update.status:
                last[update.tool_call_id] = update.status
        return list(last.values())


def check(holds, what):
    if not holds:
        raise AssertionError(what)


class Rows:
    """The rows of a stage: each check has its time, and every failure is a row."""

    def __init__(self, stage) -> None:
        self.stage = stage
        self.failed = False

    async def row(self, name, checked):
        try:
            result = await asyncio.wait_for(checked, PATIENCE)
        except Exception as error:  # noqa: BLE001
            self.failed = True
            result = f"**FAILED**: {type(error).__name__}: {error}"
            if len(result) > LONGEST:
                result = f"{result[: LONGEST // 2]} […] {result[-LONGEST // 2 :]}"
        result = " ".join(result.split()).replace("|", "/")
        print(f"| {self.stage} | {name} | {result} |", flush=True)


async def greet(agent, name, version="1"):
    files = schema.FileSystemCapabilities(read_text_file=True, write_text_file=True)
    answer = await agent.initialize(
        protocol_version=acp.PROTOCOL_VERSION,
        client_capabilities=schema.ClientCapabilities(fs=files, terminal=True),
        client_info=schema.Implementation(name=name, version=version),
    )
    check(answer.protocol_version == acp.PROTOCOL_VERSION, answer)
    check(answer.agent_info.name == "talaria", answer)
    return f"version {answer.protocol_version}, as `{name}`"


async def ended(process):
    check(await process.wait() == 0, f"exit code {process.returncode}")
    return "the process ends with 0"


def surroundings(folder, script):
    """Environment of an agent that keeps all it writes in a folder."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TALARIA_HOME": str(folder / "home"),
        "TALARIA_MODEL": f"scripted:{script}",
    }
