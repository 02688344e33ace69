// A chat and background tasks through the client of the official TypeScript SDK, with the scripted model.
//
// Started by typescript-sdk.sh. Prints one row of a Markdown table for each check; exits with 1 if one failed.
// The model is reports.script, whose tasks end when there is a file of their name.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable, Writable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";

const AGENT = process.env.TALARIA;
const PATIENCE = 15_000;
// How long nothing may come before it counts as nothing.
const QUIET = 1_000;
const REPORT = "A report has come:";
const SDK = join(process.env.MODULES, "@agentclientprotocol/sdk/dist/v1");
const HERE = dirname(fileURLToPath(import.meta.url));

// The stable entry point, and the one whose schema knows sessions of subagents. Each drops fields that its
// own schema does not know.
const stable = await import(pathToFileURL(join(SDK, "stable/acp.js")));
const unstable = await import(pathToFileURL(join(SDK, "unstable/acp.js")));

const sleep = (time) => new Promise((done) => setTimeout(done, time));

function check(holds, what) {
  if (!holds) throw new Error(typeof what === "string" ? what : JSON.stringify(what));
}

let failed = false;

async function row(name, checked) {
  let result;
  let timer;
  try {
    const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not within ${PATIENCE / 1000} s`)), PATIENCE)));
    result = await Promise.race([checked(), late]);
  } catch (error) {
    failed = true;
    result = `**FAILED**: ${error.message}`.slice(0, 1_500);
  }
  clearTimeout(timer);
  console.log(`| typescript-sdk | ${name} | ${result.replace(/\s+/g, " ").replaceAll("|", "/")} |`);
}

/** An editor with one connection; each check opens a session of its own. */
class Editor {
  constructor(sdk, folder) {
    this.sdk = sdk;
    this.folder = folder;
    this.work = join(folder, "work");
    mkdirSync(this.work, { recursive: true });
    mkdirSync(join(folder, "home"));
    copyFileSync(join(HERE, "reports.script"), join(folder, "model.script"));
    this.heard = [];
    this.asked = [];
    this.open = 0;
  }

  start() {
    const env = {
      PATH: process.env.PATH,
      HOME: this.folder,
      TALARIA_HOME: join(this.folder, "home"),
      TALARIA_MODEL: `scripted:${join(this.folder, "model.script")}`,
    };
    this.process = spawn(AGENT, ["acp"], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.exit = new Promise((done) => this.process.on("exit", (code, signal) => done(code ?? signal)));
    const { methods } = this.sdk;
    const stream = this.sdk.ndJsonStream(Writable.toWeb(this.process.stdin), Readable.toWeb(this.process.stdout));
    this.agent = this.sdk
      .client({ name: "heavy" })
      .onNotification(methods.client.session.update, ({ params }) => {
        this.heard.push(params);
      })
      .onRequest(methods.client.session.requestPermission, ({ params }) => {
        this.asked.push({ ...params, open: this.open });
        const option = params.options.find((option) => option.kind === "allow_once");
        return { outcome: { outcome: "selected", optionId: option.optionId } };
      })
      .connect(stream).agent;
  }

  async greet(name, capabilities = {}) {
    const answer = await this.agent.request("initialize", {
      protocolVersion: this.sdk.PROTOCOL_VERSION,
      clientCapabilities: capabilities,
      clientInfo: { name, version: "1" },
    });
    check(answer.protocolVersion === this.sdk.PROTOCOL_VERSION, answer);
    check(answer.agentInfo.name === "talaria", answer);
    return `version ${answer.protocolVersion}, as \`${name}\``;
  }

  async session() {
    const { sessionId } = await this.agent.request("session/new", { cwd: this.work, mcpServers: [] });
    this.heard = [];
    this.asked = [];
    this.id = sessionId;
  }

  prompt(text) {
    const begin = performance.now();
    this.open += 1;
    const state = { done: false };
    state.answer = this.agent
      .request("session/prompt", { sessionId: this.id, prompt: [{ type: "text", text }] })
      .then((answer) => ({ reason: answer.stopReason, took: performance.now() - begin }))
      .finally(() => {
        this.open -= 1;
        state.done = true;
      });
    // Looked at later, or never, if the check fails before.
    state.answer.catch(() => {});
    return state;
  }

  let(name) {
    writeFileSync(join(this.folder, name), "");
  }

  of(kind, session = this.id) {
    return this.heard.filter((params) => params.sessionId === session).map((params) => params.update).filter((update) => update.sessionUpdate === kind);
  }

  text(session) {
    return this.of("agent_message_chunk", session).map((update) => update.content.text).join("");
  }

  /** Whether the model has said what a report said: so it was given it. */
  reported(text) {
    const [, ...said] = this.text().split(REPORT);
    return said.join(REPORT).includes(text);
  }

  card(task) {
    const told = this.heard.map((params) => params.update).filter((update) => update.toolCallId === `task-${task}` && update.status);
    return told.at(-1)?.status;
  }

  /** Texts and calls: what a client that loses it would miss. */
  said() {
    return this.heard.filter(({ update }) => ["agent_message_chunk", "tool_call", "tool_call_update"].includes(update.sessionUpdate));
  }

  async until(holds) {
    const end = performance.now() + PATIENCE - 3_000;
    while (!holds()) {
      check(performance.now() < end, `waited in vain; told was: ${this.text().slice(-500)}`);
      await sleep(10);
    }
  }

  async nothingComes() {
    const before = this.said().length;
    await sleep(QUIET);
    check(this.said().length === before, this.said().slice(before));
  }

  async stop() {
    this.process.stdin.end();
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 5_000);
    const code = await this.exit;
    clearTimeout(timer);
    return code;
  }
}

async function chat(editor) {
  await editor.session();
  const { reason } = await editor.prompt("chat").answer;
  check(reason === "end_turn", reason);
  check(editor.text() === "Hello, editor.", editor.text());
  return "text, `end_turn`";
}

async function permission(editor) {
  await editor.session();
  const notes = join(editor.work, "notes.txt");
  writeFileSync(notes, "helo\n");
  const { reason } = await editor.prompt("mend notes").answer;
  check(reason === "end_turn", reason);
  check(editor.asked.length === 1, editor.asked);
  check(readFileSync(notes, "utf8") === "hello\n", readFileSync(notes, "utf8"));
  return `asked as "${editor.asked[0].toolCall.title}", allowed, done`;
}

async function cancel(editor) {
  await editor.session();
  const prompt = editor.prompt("for ever");
  await editor.until(() => editor.of("agent_message_chunk").length >= 5);
  await editor.agent.notify("session/cancel", { sessionId: editor.id });
  const { reason } = await prompt.answer;
  check(reason === "cancelled", reason);
  return "the prompt answers `cancelled`";
}

async function held(editor) {
  await editor.session();
  const prompt = editor.prompt("count pears");
  await editor.until(() => editor.text().includes("Counting pears."));
  await sleep(QUIET);
  check(!prompt.done, "answered while its task runs");
  editor.let("pears");
  const { reason, took } = await prompt.answer;
  check(reason === "end_turn", reason);
  check(editor.reported("Three apples of pears."), editor.text());
  check(editor.card("t1") === "completed", editor.card("t1"));
  await editor.nothingComes();
  return `open for ${(took / 1000).toFixed(1)} s with its task; card and report came before \`end_turn\`, nothing in ${QUIET / 1000} s after`;
}

async function heldCancel(editor) {
  await editor.session();
  const prompt = editor.prompt("count plums");
  await editor.until(() => editor.text().includes("Counting plums."));
  await sleep(100);
  check(!prompt.done, "answered while its task runs");
  await editor.agent.notify("session/cancel", { sessionId: editor.id });
  const { reason } = await prompt.answer;
  check(reason === "cancelled", reason);
  const line = editor.text().split("Counting plums.").at(-1).trim();
  check(line.includes("`t1`"), `no line names the task: ${line}`);
  editor.let("plums");
  await editor.nothingComes();
  editor.heard = [];
  await editor.prompt("chat").answer;
  check(editor.card("t1") === "completed", editor.card("t1"));
  check(editor.said()[0].update.sessionUpdate === "tool_call", editor.said()[0]);
  return `\`cancelled\`, with "${line}"; nothing came until the next prompt, which began with the whole card`;
}

async function followUp(editor) {
  await editor.session();
  const { reason, took } = await editor.prompt("count kiwis").answer;
  check(reason === "end_turn", reason);
  check(!editor.text().includes(REPORT), editor.text());
  await editor.nothingComes();
  editor.heard = [];
  const begin = performance.now();
  editor.let("kiwis");
  await editor.until(() => editor.reported("Three apples of kiwis."));
  const late = performance.now() - begin;
  check(editor.open === 0, "a prompt was open");
  check(editor.card("t1") === "completed", editor.card("t1"));
  await sleep(QUIET);
  return `answered after ${took.toFixed(0)} ms; ${(late / 1000).toFixed(1)} s after the task's end, with no prompt open: "${editor.text().replace(/```[^]*```/, "…").replace(/\s+/g, " ").trim()}"`;
}

async function lateQuestion(editor) {
  await editor.session();
  await editor.prompt("write bob").answer;
  check(editor.asked.length === 0, editor.asked);
  editor.let("bob");
  await editor.until(() => editor.reported("The letter to bob is written."));
  check(editor.asked.length === 1 && editor.asked[0].open === 0, editor.asked);
  check(readFileSync(join(editor.work, "letter-to-bob.txt"), "utf8") === "Dear bob\n", "the letter");
  return `asked as "${editor.asked[0].toolCall.title}" with no prompt open, allowed, written; the report followed`;
}

/** What a client with `subagents` is told: the child on the parent, its work under its own id. */
async function subagents(editor) {
  await editor.session();
  const parent = editor.id;
  await editor.prompt("write cleo").answer;
  await editor.until(() => editor.of("subagent_update", parent).length > 0);
  const child = editor.of("subagent_update", parent)[0].sessionId;
  check(child && child !== parent, editor.of("subagent_update", parent));
  editor.let("cleo");
  await editor.until(() => editor.reported("The letter to cleo is written."));
  const index = (holds) => editor.heard.findIndex(holds);
  const announced = index(({ sessionId, update }) => sessionId === parent && update.sessionUpdate === "subagent_update");
  const traffic = index(({ sessionId }) => sessionId === child);
  check(traffic > announced, `the child's first update is number ${traffic}, its announcement ${announced}`);
  check(editor.text(child).includes("The letter to cleo is written."), editor.text(child));
  check(editor.of("tool_call", child).length === 1, editor.of("tool_call", child));
  check(editor.asked.length === 1 && editor.asked[0].sessionId === child, editor.asked);
  const call = editor.asked[0].toolCall.toolCallId;
  check(editor.of("tool_call", child)[0].toolCallId === call, [call, editor.of("tool_call", child)]);
  check(!editor.said().some(({ sessionId, update }) => sessionId === parent && update.toolCallId?.startsWith("task-t1/")), "the child's call is on the parent, too");
  check(editor.card("t1") === "completed", editor.card("t1"));
  const states = editor.of("subagent_update", parent).map((update) => update.state?.state).filter(Boolean);
  check(states.includes("running") && states.at(-1) === "idle", states);
  return `announced before its traffic; text, call and question under its own id; states ${states.join(", ")}; the parent keeps its card`;
}

async function subagentsCancel(editor) {
  await editor.session();
  const running = editor.prompt("count melons for ever");
  await editor.until(() => editor.of("subagent_update").length > 0 && editor.text().includes("more more"));
  await editor.agent.notify("session/cancel", { sessionId: editor.id });
  const { reason } = await running.answer;
  check(reason === "cancelled", reason);
  check(editor.card("t1") === "failed", `the card is ${editor.card("t1")}`);
  const last = editor.of("subagent_update").at(-1).state;
  check(last?.state === "idle", last);
  return "a cancel ends the task, too, before it is answered";
}

const root = mkdtempSync(join(tmpdir(), "typescript-sdk-"));
const live = [];
try {
  for (const [sdk, name, capabilities, title, checks] of [
    [stable, "somebody", {}, "as `somebody`", { "a chat": chat, permission, cancel, "held prompt": held, "held prompt, cancel": heldCancel }],
    [stable, "talaria", {}, "as `talaria`", { "follow-up turn": followUp, "permission out of turn": lateQuestion }],
    [unstable, "somebody", { subagents: {} }, "with `subagents`", { subagents, "subagents, cancel": subagentsCancel }],
  ]) {
    const editor = new Editor(sdk, join(root, String(live.length)));
    live.push(editor);
    editor.start();
    await row(`initialize, ${title}`, () => editor.greet(name, capabilities));
    for (const [what, checked] of Object.entries(checks)) {
      await row(`${what}, ${title}`, async () => {
        try {
          return await checked(editor);
        } finally {
          await editor.agent.request("session/close", { sessionId: editor.id });
        }
      });
    }
    await row(`end of input, ${title}`, async () => {
      const code = await editor.stop();
      check(code === 0, `ended with ${code}`);
      return "the process ends with 0";
    });
  }
} finally {
  for (const editor of live) editor.process.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
