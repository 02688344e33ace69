//! `talaria run`: one prompt from the command line, over a real connection to this same server.
//! The conversation itself is `headless::chat`'s.
//!
//! Exit codes: 0 the turn ended; 1 an error, or the provider refused; 2 wrong usage; 3 a limit of
//! tokens or of model requests; 130 cancelled.

use std::io;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::{Environment, Folders};
use crate::fault;
use crate::fault::Fault;
use crate::headless::chat::{Answering, Asker, Chat, ChatError, Left, Which};
use crate::headless::demo;
use crate::headless::demo::Demo;
use crate::headless::editor::Editor;
use crate::headless::policy::Policy;
use crate::headless::print::{Format, Printer};
use crate::headless::process::{Launch, Stderr};
use crate::permission::{Answer, Mode};

/// So many characters the beginning of an id has at least.
const SHORTEST_ID: usize = 4;

/// Sends one prompt and shows the conversation.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the turn ended; 1 an error, or the provider refused; 2 wrong usage; \
    3 a limit of tokens or of model requests; 130 cancelled."
)]
pub struct RunArgs {
    /// What to ask; `-` reads it from standard input.
    #[arg(conflicts_with = "demo")]
    prompt: Option<String>,
    /// The folder to work in; this one by default.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// What runs without asking: ask, accept-edits, plan or bypass.
    #[arg(long)]
    mode: Option<Mode>,
    /// The model, as in `TALARIA_MODEL`.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Goes on with the last session of the folder.
    #[arg(long = "continue", conflicts_with_all = ["session", "demo"])]
    continue_last: bool,
    /// Goes on with this session: its id, or the beginning of it.
    #[arg(long, value_name = "ID", conflicts_with = "demo")]
    session: Option<String>,
    /// Prints each update as a line of JSON, and at the end the result.
    #[arg(long)]
    json: bool,
    /// Shows a scripted conversation in a small project of its own; needs no key.
    #[arg(long, conflicts_with_all = ["cwd", "mode", "model"])]
    demo: bool,
    /// Set to anything: no colours.
    #[arg(long, hide = true, env = "NO_COLOR", hide_env = true)]
    no_color: Option<String>,
}

/// Runs it; everything is printed when it returns.
pub async fn run(args: RunArgs) -> ExitCode {
    let mut out = io::stdout();
    match converse(&args, &mut out).await {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            writeln!(io::stderr(), "talaria run: {}", fault.sentence()).ok();
            ExitCode::from(if fault.kind == fault::Kind::User { 2 } else { 1 })
        }
    }
}

/// How a conversation starts.
struct Plan {
    prompts: Vec<String>,
    folder: PathBuf,
    which: Which,
    mode: Option<Mode>,
    environment: Vec<(String, Option<String>)>,
    asking: Asking,
    demo: Option<Demo>,
}

/// Who answers questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Person,
    Allow,
    Refuse,
}

async fn converse(args: &RunArgs, out: &mut (dyn Write + Send)) -> Result<u8, Fault> {
    let plan = plan(args).await?;
    let (policy, answering) = match plan.asking {
        Asking::Person => (Policy::Manual, Answering::Person(asker())),
        Asking::Allow => (Policy::always(Answer::AllowOnce), Answering::Nobody),
        Asking::Refuse => (Policy::Manual, Answering::Nobody),
    };
    let editor = Editor::spawn(
        &Launch {
            program: own_program()?,
            arguments: vec!["acp".to_owned()],
            folder: Some(plan.folder.clone()),
            environment: plan.environment.clone(),
            stderr: Stderr::Keep,
        },
        policy,
    )?;
    let (interrupt, interrupts) = mpsc::channel(4);
    let mut signals = JoinSet::new();
    signals.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            interrupt.send(()).await.ok();
        }
    });
    let mut chat = Chat::new(editor, Printer::new(out, format(args)), answering, interrupts);
    let mut result = talk(&mut chat, &plan).await;
    if matches!(result, Ok(_) | Err(ChatError::Refused(_))) {
        result = finish_tasks(&mut chat, plan.asking, result).await;
    }
    if result.is_ok()
        && let Some(demo) = &plan.demo
    {
        result = show_changes(&mut chat, demo).await;
    }
    if result.is_ok() && plan.demo.is_none() {
        tell_how_to_go_on(&mut chat).await;
    }
    if chat.refused && plan.asking == Asking::Refuse {
        let how = "Nobody could be asked, so a call was refused: allow more with `--mode accept-edits` or \
            `--mode bypass`.";
        writeln!(io::stderr(), "talaria run: {how}").ok();
    }
    let code = match result {
        Ok(stop) => code_of(&stop),
        Err(error) => {
            chat.printer().start_line().ok();
            explain(error)
        }
    };
    for breach in chat.close().await {
        writeln!(io::stderr(), "talaria run: {breach}").ok();
    }
    Ok(code)
}

async fn plan(args: &RunArgs) -> Result<Plan, Fault> {
    if args.demo {
        let demo = demo::prepare().await?;
        let text = |path: &PathBuf| Some(path.to_string_lossy().into_owned());
        return Ok(Plan {
            prompts: demo::PROMPTS.map(str::to_owned).to_vec(),
            folder: demo.project.clone(),
            which: Which::New,
            mode: Some(Mode::AcceptEdits),
            environment: vec![
                ("TALARIA_HOME".to_owned(), text(&demo.home)),
                ("TALARIA_MODEL".to_owned(), Some(format!("scripted:{}", demo.model.display()))),
                ("TALARIA_PROVIDER".to_owned(), None),
            ],
            asking: Asking::Allow,
            demo: Some(demo),
        });
    }
    let prompt = prompt(args.prompt.as_deref())?;
    let folder = args.cwd.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = tokio::fs::canonicalize(&folder).await.map_err(|error| {
        Fault::new(fault::Kind::User, format!("cannot work in `{}`: {error}", folder.display()))
    })?;
    let asking =
        if io::stdin().is_terminal() && !args.json { Asking::Person } else { Asking::Refuse };
    Ok(Plan {
        prompts: vec![prompt],
        folder,
        which: which(args)?,
        mode: args.mode,
        environment: environment(args.model.as_deref(), &Environment::read()),
        asking,
        demo: None,
    })
}

/// The session that the prompt is for.
fn which(args: &RunArgs) -> Result<Which, Fault> {
    match &args.session {
        None if args.continue_last => Ok(Which::Last),
        None => Ok(Which::New),
        Some(id) if id == "last" => Ok(Which::Last),
        Some(id) if id.chars().count() < SHORTEST_ID => Err(Fault::new(
            fault::Kind::User,
            format!("`{id}` is too short for the beginning of an id"),
        )
        .with_hint(format!("Give at least {SHORTEST_ID} characters, or use `--continue`."))),
        Some(id) => Ok(Which::Named(id.clone())),
    }
}

/// The model, and the paths of the environment as they are meant from here: the server starts in the
/// folder to work in.
fn environment(model: Option<&str>, given: &Environment) -> Vec<(String, Option<String>)> {
    let mut variables = Vec::new();
    if let Some(name) = model.or(given.model.as_deref()) {
        let name = match name.strip_prefix("scripted:").map(std::path::absolute) {
            Some(Ok(file)) => format!("scripted:{}", file.display()),
            Some(Err(_)) | None => name.to_owned(),
        };
        variables.push(("TALARIA_MODEL".to_owned(), Some(name)));
    }
    if given.home.as_ref().is_some_and(|home| home.is_relative()) {
        let home = Folders::of(given).config.to_string_lossy().into_owned();
        variables.push(("TALARIA_HOME".to_owned(), Some(home)));
    }
    variables
}

fn prompt(given: Option<&str>) -> Result<String, Fault> {
    let missing = || {
        Fault::new(fault::Kind::User, "there is no prompt").with_hint(
            "Write it behind `talaria run`, or pipe it in; `talaria run --demo` needs none.",
        )
    };
    let text = match given {
        Some("-") => read_input()?,
        None if !io::stdin().is_terminal() => read_input()?,
        Some(text) => text.to_owned(),
        None => return Err(missing()),
    };
    if text.trim().is_empty() { Err(missing()) } else { Ok(text) }
}

fn read_input() -> Result<String, Fault> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        Fault::new(
            fault::Kind::User,
            format!("cannot read the prompt from standard input: {error}"),
        )
    })?;
    Ok(text)
}

fn own_program() -> Result<PathBuf, Fault> {
    std::env::current_exe().map_err(|error| {
        Fault::new(fault::Kind::Internal, format!("cannot find this program: {error}"))
    })
}

fn format(args: &RunArgs) -> Format {
    let plain = args.no_color.as_ref().is_some_and(|value| !value.is_empty());
    if args.json {
        Format::Json
    } else if io::stdout().is_terminal() && !plain {
        Format::Coloured
    } else {
        Format::Plain
    }
}

/// Who waits for an answer from the terminal.
#[derive(Default)]
struct Asked {
    answer: Option<oneshot::Sender<Answer>>,
    is_reading: bool,
}

/// Asks on the terminal. One thread reads it from the first question on, and ends with the process: a line
/// answers the question that is open when it comes, never one that was withdrawn before.
fn asker() -> Asker {
    let asked = Arc::new(Mutex::new(Asked::default()));
    Box::new(move || {
        let (sender, receiver) = oneshot::channel();
        let mut now = asked.lock().unwrap_or_else(PoisonError::into_inner);
        now.answer = Some(sender);
        prompt_person();
        if !now.is_reading {
            let shared = asked.clone();
            let started = std::thread::Builder::new()
                .name("question".to_owned())
                .spawn(move || read_answers(&shared));
            now.is_reading = started.is_ok();
        }
        if !now.is_reading {
            // Nobody can answer.
            now.answer = None;
        }
        receiver
    })
}

fn prompt_person() {
    let mut out = io::stdout();
    write!(out, "  y = once, a = always, n = no: ").ok();
    out.flush().ok();
}

fn read_answers(asked: &Mutex<Asked>) {
    let mut line = String::new();
    loop {
        line.clear();
        let is_over = matches!(io::stdin().lock().read_line(&mut line), Ok(0) | Err(_));
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if is_over {
            // Without the sender there is no answer, to this question and to later ones.
            asked.answer = None;
            asked.is_reading = false;
            return;
        }
        let answer = match line.trim() {
            "y" | "yes" => Some(Answer::AllowOnce),
            "a" | "always" => Some(Answer::AllowAlways),
            "n" | "no" => Some(Answer::RejectOnce),
            _ => None,
        };
        let is_open = asked.answer.as_ref().is_some_and(|waits| !waits.is_closed());
        match answer {
            Some(answer) if is_open => {
                asked.answer.take().map(|waits| waits.send(answer).ok());
            }
            None if is_open => prompt_person(),
            Some(_) | None => {}
        }
    }
}

/// The stop reason of the last prompt.
async fn talk(chat: &mut Chat<'_>, plan: &Plan) -> Result<String, ChatError> {
    chat.open(&plan.folder.to_string_lossy(), &plan.which).await?;
    if let Some(mode) = plan.mode {
        chat.set_mode(mode.id()).await?;
    }
    let mut stop = String::new();
    for prompt in &plan.prompts {
        stop = chat.prompt(prompt).await?;
        if stop != "end_turn" {
            break;
        }
    }
    Ok(stop)
}

/// Tasks end with the server, so it stays until they are done and what their reports start is over. How the
/// prompt went is how the run went.
async fn finish_tasks(
    chat: &mut Chat<'_>,
    asking: Asking,
    result: Result<String, ChatError>,
) -> Result<String, ChatError> {
    let left = loop {
        let left = chat.until_tasks_rest().await?;
        if let Left::Waiting(tasks) = &left
            && asking == Asking::Person
            && let Some(first) = tasks.first()
            && chat.settle(first).await?
        {
            continue;
        }
        break left;
    };
    let text = match &left {
        Left::Nothing => return result,
        Left::Given(tasks) if tasks.is_empty() => {
            // The turn that ran by itself has said so.
            return result.map(|_| "cancelled".to_owned());
        }
        Left::Given(_) | Left::Waiting(_) => of_left(&left, chat.is_kept().await != Some(false)),
    };
    if chat.printer().format() == Format::Json {
        writeln!(io::stderr(), "talaria run: {text}").ok();
    } else {
        chat.printer().note(&text)?;
    }
    match left {
        Left::Given(_) => result.map(|_| "cancelled".to_owned()),
        Left::Nothing | Left::Waiting(_) => result,
    }
}

/// What becomes of tasks that are not done.
fn of_left(left: &Left, is_kept: bool) -> String {
    let (tasks, waits) = match left {
        Left::Nothing => return String::new(),
        Left::Waiting(tasks) => (tasks, true),
        Left::Given(tasks) => (tasks, false),
    };
    let one = tasks.len() == 1;
    let names: Vec<String> = tasks.iter().map(|task| format!("`{task}`")).collect();
    let names = names.join(", ");
    let waits = match (waits, one) {
        (true, true) => " waits for a permission and",
        (true, false) => " wait for permissions and",
        (false, _) => "",
    };
    let (is, it) = if one { ("is", "it") } else { ("are", "them") };
    // It needs somebody who can be asked.
    let place = if matches!(left, Left::Waiting(_)) { " in a terminal" } else { "" };
    if is_kept {
        format!(
            "{names}{waits} {is} interrupted with the end of this run; \
             `talaria run --continue \"/resume all\"`{place} lets {it} go on."
        )
    } else {
        format!("{names}{waits} {is} lost with the end of this run: the session is not kept.")
    }
}

async fn tell_how_to_go_on(chat: &mut Chat<'_>) {
    match chat.is_kept().await {
        // A reader that went away needs no advice.
        Some(true) if io::stdout().is_terminal() => {
            chat.printer().note("Go on with `talaria run --continue \"…\"`.").ok();
        }
        Some(false) => {
            let text = "The conversation was not saved when it ended. `talaria sessions list` shows whether it is \
                by now.";
            writeln!(io::stderr(), "talaria run: {text}").ok();
        }
        Some(true) | None => {}
    }
}

async fn show_changes(chat: &mut Chat<'_>, demo: &Demo) -> Result<String, ChatError> {
    match demo::changes(demo).await {
        Ok(changes) => {
            chat.printer().note(&format!("\ngit diff --stat\n{}", changes.trim_end()))?;
        }
        Err(fault) => chat.printer().note(&fault.sentence())?,
    }
    let folder = demo.project.display();
    chat.printer().note(&format!(
        "\nThe model was scripted; the server, its tools and the files are real. They are in `{folder}`."
    ))?;
    Ok("end_turn".to_owned())
}

fn code_of(stop: &str) -> u8 {
    match stop {
        "end_turn" => 0,
        "max_tokens" | "max_turn_requests" => 3,
        "cancelled" => 130,
        _ => 1,
    }
}

fn explain(error: ChatError) -> u8 {
    let mut err = io::stderr();
    match error {
        ChatError::Refused(error) => {
            writeln!(err, "talaria run: {}", error.text()).ok();
        }
        ChatError::Ended(ending) => {
            writeln!(err, "talaria run: the server ended: {}", ending.description).ok();
            if !ending.stderr.trim().is_empty() {
                writeln!(err, "It wrote to its error stream:\n{}", ending.stderr.trim_end()).ok();
            }
        }
        ChatError::Missing(fault) => {
            writeln!(err, "talaria run: {}", fault.sentence()).ok();
        }
        // Nobody reads any more: there is nobody to tell.
        ChatError::Output(_) => {}
    }
    1
}
