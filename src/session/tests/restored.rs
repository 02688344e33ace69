//! A session that is opened again goes on from where the open one is: whenever no turn runs, what the rules
//! have in memory is what their records give back.

use std::collections::VecDeque;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::ids::MessageId;
use crate::known::Known;
use crate::session::restore::{RestoredSettings, Restorer};
use crate::store::{Entry, Trouble};
use crate::transcript::{Call, Outcome, Prompt, Reply, Settled, Spent, Step, Transcript, Usage};
use crate::turn::Go;

/// What happens next, where it can.
#[derive(Debug, Clone)]
enum Move {
    Prompt(&'static str),
    Cancel { of: u64 },
    CancelPrompt { of: u64 },
    Answer { call: usize, answer: Answer },
    Set(Setting),
    ModelRefused,
    Title(&'static str),
    Store(Option<Trouble>),
    Notice,
    HandOver,
    Close,
    Deliver,
    Reply { calls: usize, model: &'static str, broke: bool },
    Describe(usize),
    Ask(usize, &'static str),
    Begin(usize),
    Settle(usize, Outcome),
    Whole,
    Saw(&'static str, &'static str),
    Plan,
    Told,
    End(End),
    Fail { refused_input: bool },
    Die,
}

fn any_move() -> impl Strategy<Value = Move> {
    let call = || 0..3_usize;
    let of = || 0..4_u64;
    let texts = vec!["one", "two", "two", "", "/mode plan", "/model three", "/usage", "/help"];
    let settings = vec![
        Setting::Mode(Mode::Plan),
        Setting::Mode(Mode::Bypass),
        Setting::Model("one".to_owned()),
        Setting::Model("two".to_owned()),
        Setting::Model("nine".to_owned()),
        Setting::Thought("high".to_owned()),
        Setting::Thought("much".to_owned()),
    ];
    let answers =
        vec![Answer::AllowOnce, Answer::AllowAlways, Answer::RejectAlways, Answer::Unanswered];
    let outcomes = vec![
        Outcome::done("done"),
        Outcome::failed("failed"),
        Outcome::Denied { reason: "denied".to_owned() },
        Outcome::Cancelled { reason: "cancelled".to_owned() },
    ];
    let around = prop_oneof![
        8 => select(texts).prop_map(Move::Prompt),
        1 => of().prop_map(|of| Move::Cancel { of }),
        1 => of().prop_map(|of| Move::CancelPrompt { of }),
        3 => (call(), select(answers)).prop_map(|(call, answer)| Move::Answer { call, answer }),
        1 => select(settings).prop_map(Move::Set),
        1 => Just(Move::ModelRefused),
        1 => select(vec!["title", " Another\ntitle ", ""]).prop_map(Move::Title),
        1 => select(vec![None, Some(Trouble::Full), Some(Trouble::Locked)]).prop_map(Move::Store),
        1 => Just(Move::Notice),
    ];
    let within = prop_oneof![
        4 => Just(Move::Deliver),
        8 => (call(), select(vec!["one", "two"]), any::<bool>())
            .prop_map(|(calls, model, broke)| Move::Reply { calls, model, broke }),
        2 => call().prop_map(Move::Describe),
        2 => (call(), select(vec!["edit", "read"])).prop_map(|(call, key)| Move::Ask(call, key)),
        2 => call().prop_map(Move::Begin),
        8 => (call(), select(outcomes)).prop_map(|(call, outcome)| Move::Settle(call, outcome)),
        8 => Just(Move::Whole),
        2 => (select(vec!["/a", "/b"]), select(vec!["x", "y\nz"]))
            .prop_map(|(path, text)| Move::Saw(path, text)),
        1 => Just(Move::Plan),
        1 => Just(Move::Told),
        5 => select(vec![End::Finished, End::Refused, End::MaxSteps]).prop_map(Move::End),
        1 => any::<bool>().prop_map(|refused_input| Move::Fail { refused_input }),
        2 => Just(Move::Die),
    ];
    prop_oneof![
        60 => around,
        200 => within,
        2 => Just(Move::HandOver),
        1 => Just(Move::Close),
    ]
}

type Calls = Vec<(Call, Option<Outcome>)>;
type Open = (Reply, Vec<Prompt>, Calls);

/// A turn as a session hears it.
#[derive(Default)]
struct Turn {
    /// Not yet in a request.
    steered: VecDeque<Prompt>,
    /// In the request that is made now.
    delivered: Vec<Prompt>,
    /// The reply, the prompts of its request, and its calls with what became of them.
    step: Option<Open>,
}

impl Turn {
    fn call(&self, at: usize) -> Option<CallId> {
        let (_, _, calls) = self.step.as_ref()?;
        calls.get(at).filter(|(_, outcome)| outcome.is_none()).map(|(call, _)| call.id.clone())
    }

    fn is_between_requests(&self) -> bool {
        self.step.is_none() && self.delivered.is_empty()
    }
}

struct Play {
    state: SessionState,
    records: Vec<Record>,
    turn: Option<Turn>,
    prompts: u64,
    made: usize,
    stopped: bool,
}

impl Play {
    fn id(&mut self, letter: char) -> String {
        self.made += 1;
        format!("{letter}{}", self.made)
    }

    /// What the session is given; nothing where the move cannot be made now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of the turn")]
    fn input(&mut self, next: Move) -> Option<Input> {
        Some(match next {
            Move::Prompt(text) => {
                self.prompts += 1;
                let content = if text.is_empty() { Vec::new() } else { vec![Content::text(text)] };
                Input::Prompt { id: PromptId(self.prompts), content }
            }
            Move::Cancel { of } => {
                Input::Cancel { upto: PromptId((self.prompts + 1).saturating_sub(of)) }
            }
            Move::CancelPrompt { of } => {
                Input::CancelPrompt(PromptId(self.prompts.saturating_sub(of)))
            }
            Move::Answer { call, answer } => {
                Input::Answer { call: self.turn.as_ref()?.call(call)?, answer }
            }
            Move::Set(setting) => Input::Set(setting),
            Move::ModelRefused => Input::ModelRefused {
                kept: "one".to_owned(),
                why: Fault::new(Kind::Config, "it is gone"),
            },
            Move::Title(title) => Input::SetTitle(title.to_owned()),
            Move::Store(trouble) => Input::Store(trouble),
            Move::Notice => Input::Notice(Fault::new(Kind::Internal, "a notice")),
            Move::HandOver => Input::HandOver,
            Move::Close => Input::Close,
            of_turn => {
                let mut turn = self.turn.take()?;
                let said = self.said(&mut turn, of_turn);
                if !matches!(said, Some(TurnSaid::Ended(_))) {
                    self.turn = Some(turn);
                }
                Input::Turn(said?)
            }
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest cannot be now")]
    fn said(&mut self, turn: &mut Turn, next: Move) -> Option<TurnSaid> {
        Some(match next {
            Move::Deliver if turn.is_between_requests() && !turn.steered.is_empty() => {
                turn.delivered = turn.steered.drain(..).collect();
                TurnSaid::Delivered(
                    turn.delivered.iter().map(|prompt| prompt.message.clone()).collect(),
                )
            }
            Move::Reply { calls, model, broke } if turn.step.is_none() => {
                let broke = broke && calls == 0;
                let calls: Vec<Call> = (0..calls)
                    .map(|_| Call {
                        id: CallId::new(self.id('c')),
                        tool: "tool".to_owned(),
                        input: json!({ "a": [1, null] }),
                        signatures: vec!["proof".to_owned()],
                    })
                    .collect();
                let steered = std::mem::take(&mut turn.delivered);
                let reply = Reply {
                    steered: steered.iter().map(|prompt| prompt.message.clone()).collect(),
                    thought: "thought".into(),
                    thought_message: Some(MessageId::new(self.id('r'))),
                    thoughts: Vec::new(),
                    text: "text".into(),
                    message: Some(MessageId::new(self.id('r'))),
                    calls: calls.clone(),
                    usage: Usage { input: 10, output: u64::MAX / 4, cached: 3 },
                };
                let calls = calls.into_iter().map(|call| (call, None)).collect();
                turn.step = Some((reply.clone(), steered, calls));
                let spent = Spent { model: model.to_owned(), window: 100, cost: Some(0.25) };
                TurnSaid::Replied { reply, spent: (!broke).then_some(spent) }
            }
            Move::Describe(at) => {
                let title = Some("Do it".to_owned());
                TurnSaid::Described(CallUpdate { title, ..CallUpdate::new(turn.call(at)?) })
            }
            Move::Ask(at, key) => {
                let grant = Grant { key: key.to_owned(), label: key.to_owned() };
                TurnSaid::Ask(Question::new(CallUpdate::new(turn.call(at)?), grant))
            }
            Move::Begin(at) => {
                TurnSaid::Begin { call: turn.call(at)?, outside: at == 0, go: Go::new().0 }
            }
            Move::Settle(at, outcome) => {
                let call = turn.call(at)?;
                if let Some((_, _, calls)) = &mut turn.step {
                    calls[at].1 = Some(outcome.clone());
                }
                let shown = CallUpdate::new(call.clone()).with_status(CallStatus::Failed);
                TurnSaid::Settled { call, outcome, shown, gave: Vec::new() }
            }
            Move::Whole => {
                let is_whole =
                    |(_, _, calls): &mut Open| calls.iter().all(|(_, outcome)| outcome.is_some());
                let (reply, steered, calls) = turn.step.take_if(is_whole)?;
                let settled = calls
                    .into_iter()
                    .map(|(call, outcome)| Settled { call, outcome: outcome.unwrap() });
                let step = Step {
                    steered,
                    thought: reply.thought,
                    thought_message: reply.thought_message,
                    thoughts: reply.thoughts,
                    text: reply.text,
                    message: reply.message,
                    calls: settled.collect(),
                    usage: reply.usage,
                };
                TurnSaid::Step(step.into())
            }
            Move::Saw(path, text) => {
                TurnSaid::Saw(vec![(PathBuf::from(path), Known::nothing_of(text))])
            }
            Move::Plan => TurnSaid::Event(Event::Plan(Vec::new())),
            Move::Told => {
                let message = MessageId::new(self.id('t'));
                TurnSaid::Told { message, text: "told".to_owned() }
            }
            Move::End(end) if turn.is_between_requests() => {
                TurnSaid::Ended(Ended { result: Ok(end), refused_input: false })
            }
            Move::Fail { refused_input } if turn.is_between_requests() => {
                let result = Err(Fault::new(Kind::User, "the provider refused"));
                TurnSaid::Ended(Ended { result, refused_input })
            }
            // Wherever it is.
            Move::Die => TurnSaid::Ended(crate::turn::defect()),
            _ => return None,
        })
    }

    fn make(&mut self, next: Move) {
        let Some(input) = self.input(next) else { return };
        for effect in self.state.handle(input) {
            match effect {
                Effect::Append(record, _) => self.records.push(record),
                Effect::StartTurn { .. } => self.turn = Some(Turn::default()),
                Effect::Steer(prompt) => {
                    self.turn.as_mut().unwrap().steered.push_back(prompt);
                }
                Effect::Stop => self.stopped = true,
                Effect::Tell(_)
                | Effect::Reply { .. }
                | Effect::ReplySet(_)
                | Effect::ReplyTitle(_)
                | Effect::ReplySteering(_)
                | Effect::Delivered(_)
                | Effect::Replied { .. }
                | Effect::Ask(_)
                | Effect::Withdraw(_)
                | Effect::LetGo(_)
                | Effect::LetGoAtOnce(_)
                | Effect::AnswerTask { .. }
                | Effect::AttachTasks
                | Effect::OnceTold(_)
                | Effect::CancelTasks
                | Effect::FollowUpSoon
                | Effect::HoldFor(_)
                | Effect::HoldEnds
                | Effect::PromptWaits
                | Effect::TaskCommand { .. }
                | Effect::EndCommand(_)
                | Effect::AnswerTurn { .. }
                | Effect::CancelTurn
                | Effect::Publish
                | Effect::AskedLate(_)
                | Effect::SettleSoon => {}
            }
        }
    }
}

fn entry(record: &Record) -> Entry {
    Entry {
        seq: 1,
        at: Timestamp(0),
        epoch: 1,
        kind: record.kind().to_owned(),
        version: Record::VERSION,
        body: serde_json::to_string(record).unwrap(),
    }
}

/// What the records give back must be what the rules have.
fn is_restored(play: &Play) -> Result<(), TestCaseError> {
    let mut restorer = Restorer::new(2);
    for record in &play.records {
        restorer.take(&entry(record));
    }
    let finished = restorer.finish();
    prop_assert_eq!(&finished.repairs, &Vec::new(), "after {:#?}", &play.records);
    let mut again = finished.restored;
    again.settings.get_or_insert(RestoredSettings {
        mode: Mode::Ask,
        model: "one".to_owned(),
        thought: ThoughtLevel::Auto,
    });
    let mut live = play.state.so_far();
    // The numbers of prompts are those of a process.
    let json = serde_json::to_string(&live.transcript).unwrap();
    live.transcript = serde_json::from_str::<Transcript>(&json).unwrap();
    prop_assert_eq!(live, again, "after {:#?}", &play.records);
    Ok(())
}

proptest! {
    #[test]
    fn a_restored_session_is_the_live_one(
        moves in vec(any_move(), 1..80),
        busy in select(vec![Busy::Steer, Busy::Queue, Busy::Interrupt]),
    ) {
        let mut play = Play {
            state: state(busy),
            records: Vec::new(),
            turn: None,
            prompts: 0,
            made: 0,
            stopped: false,
        };
        let mut checked = 0;
        for next in moves {
            play.make(next);
            if play.turn.is_none() && play.records.len() > checked {
                is_restored(&play)?;
                checked = play.records.len();
            }
            if play.stopped {
                break;
            }
        }
    }
}

#[test]
fn a_turn_that_died_is_told_to_the_model_as_a_restored_one_is() {
    let mut play = Play {
        state: state(Busy::Steer),
        records: Vec::new(),
        turn: None,
        prompts: 0,
        made: 0,
        stopped: false,
    };
    for next in [
        Move::Prompt("one"),
        Move::Prompt("two"),
        Move::Deliver,
        Move::Reply { calls: 2, model: "one", broke: false },
        Move::Settle(1, Outcome::done("done")),
        Move::Die,
    ] {
        play.make(next);
    }
    is_restored(&play).unwrap();
    let turns = play.state.so_far().transcript.turns();
    let [turn] = &*turns else { panic!("{turns:?}") };
    let [step] = &*turn.steps else { panic!("{turn:?}") };
    assert_eq!(step.steered.len(), 1);
    let outcomes: Vec<String> = step.calls.iter().map(|settled| settled.outcome.text()).collect();
    assert_eq!(outcomes, ["error: the turn ended because of a defect in Talaria", "done"]);
}
