//! What holds of every journal: whatever is in it, and wherever a session that wrote it died.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{
    Just, Strategy, any, prop_assert, prop_assert_eq, prop_assert_ne, prop_oneof, proptest,
};
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;

use super::cards::{card, report};
use super::follow_ups::follow_up;
use super::{arrives, begun, done, entry, message, prompt, read, reply, shows, turn, words};
use crate::event::{CallContent, CallStatus, CallUpdate, Event, Role};
use crate::ids::{CallId, MessageId, TerminalId};
use crate::permission::{Answer, Grant, Rule};
use crate::session::restore::{Restored, Restorer};
use crate::store::{Entry, Opened, Record, TitleBy};
use crate::transcript::{
    self, Author, Call, Content, End, Outcome, Over, Prompt, Reply, Settled, Spent, Step,
    Transcript, Turn, Usage,
};

const MESSAGES: [&str; 4] = ["m1", "m2", "m3", "m4"];
const CALLS: [&str; 3] = ["c1", "c2", "c3"];
/// A call that cards stand for.
const HIDDEN: &str = "hidden";
const CARDS: [&str; 3] = ["task-t1", "task-t2", "task-t2/c1"];
const STATUSES: [Option<CallStatus>; 4] =
    [None, Some(CallStatus::Pending), Some(CallStatus::InProgress), Some(CallStatus::Completed)];

/// Any record, most of them out of place.
fn any_record() -> impl Strategy<Value = Record> {
    let message_id = || select(&MESSAGES[..]);
    let call_id = || select(&CALLS[..]);
    let several_calls = vec(prop_oneof![5 => call_id(), 1 => Just(HIDDEN)], 0..3);
    let steered_id = select(vec!["m1", "m2", "m3", "m4", "report1", "report2"]);
    prop_oneof![
        4 => message_id().prop_map(arrives),
        1 => message_id().prop_map(|id| Record::Prompt { prompt: follow_up(id) }),
        1 => vec(1_u64..4, 0..2).prop_map(|tasks| Record::Shown { tasks }),
        4 => message_id().prop_map(turn),
        1 => message_id().prop_map(|id| Record::NotDelivered { prompt: message(id) }),
        1 => message_id().prop_map(|id| Record::Aside {
            prompt: prompt(id),
            message: message("answer"),
            answer: "answer".to_owned(),
        }),
        4 => (message_id(), several_calls, vec(steered_id, 0..2), any::<Option<u64>>()).prop_map(
            |(id, calls, steered, tokens)| {
                let steered = steered.into_iter().map(message).collect();
                let input = tokens.unwrap_or_default();
                let usage = Usage { input, output: 7, cached: input };
                Record::Reply {
                    reply: Reply { steered, usage, ..words(id, &calls) },
                    spent: tokens.map(|window| Spent {
                        model: id.to_owned(),
                        window,
                        cost: (window % 2 == 0).then_some(0.25),
                    }),
                }
            }
        ),
        2 => call_id().prop_map(|id| {
            shows(id, vec![CallContent::Terminal(TerminalId::new("t"))])
        }),
        2 => call_id().prop_map(begun),
        1 => any::<bool>().prop_map(|settled| {
            let shown = CallUpdate { hidden: true, ..CallUpdate::new(CallId::new(HIDDEN)) };
            if !settled {
                return Record::Call { shown };
            }
            let Record::Outcome { call, outcome, .. } = done(HIDDEN, "") else { unreachable!() };
            Record::Outcome { call, outcome, shown, gave: Vec::new() }
        }),
        2 => (select(&CARDS[..]), select(&STATUSES[..])).prop_map(|(id, status)| card(id, status)),
        2 => (1_u64..4).prop_map(|task| Record::Report { report: report(task) }),
        1 => (call_id(), vec(1_u64..4, 1..3)).prop_map(|(id, gave)| {
            let Record::Outcome { call, outcome, shown, .. } = done(id, "") else { unreachable!() };
            Record::Outcome { call, outcome, shown, gave }
        }),
        4 => (call_id(), any::<bool>()).prop_map(|(id, well)| {
            if well {
                return done(id, "done");
            }
            let Record::Outcome { call, shown, .. } = done(id, "") else { unreachable!() };
            Record::Outcome { call, outcome: Outcome::failed("no"), shown, gave: Vec::new() }
        }),
        1 => (call_id(), any::<bool>()).prop_map(|(id, allow)| Record::Permission {
            call: CallId::new(id),
            answer: Answer::AllowAlways,
            rule: Some(Rule { grant: Grant { key: id.to_owned(), label: String::new() }, allow }),
        }),
        1 => message_id().prop_map(|id| Record::Told {
            message: message(id),
            content: Content::text("told"),
        }),
        2 => select(vec![
            Over::Interrupted,
            Over::Ended { end: End::Finished },
            Over::Failed { message: "no".to_owned(), refused_input: true },
        ])
        .prop_map(|over| Record::End { over }),
        1 => any::<bool>().prop_map(|user| Record::Title {
            title: user.to_string(),
            by: if user { TitleBy::User } else { TitleBy::Talaria },
        }),
        1 => select(vec![None, Some("a"), Some("b")]).prop_map(|from| Record::Opened(Opened {
            cwd: "/".into(),
            additional: Vec::new(),
            version: "1".to_owned(),
            forked_from: from.map(crate::ids::SessionId::new),
            parent: None,
        })),
    ]
}

/// Any entry, some of which cannot be read.
fn any_entry() -> impl Strategy<Value = Entry> {
    (any_record(), prop_oneof![20 => Just(0), 1 => 1..4]).prop_map(|(record, broken)| {
        let whole = entry(&record);
        match broken {
            1 => Entry { version: 2, ..whole },
            2 => Entry { body: "{".to_owned(), ..whole },
            3 => Entry { body: r#"{"unheard of":{}}"#.to_owned(), ..whole },
            _ => whole,
        }
    })
}

fn open_turns(transcript: &Transcript) -> usize {
    let open = |entry: &&transcript::Entry| match entry {
        transcript::Entry::Turn(turn) => turn.over.is_none(),
        transcript::Entry::Aside { .. } | transcript::Entry::NotDelivered(_) => false,
    };
    transcript.entries.iter().filter(open).count()
}

fn settled(transcript: &Transcript) -> Vec<&Settled> {
    let turns = transcript.entries.iter().filter_map(|entry| match entry {
        transcript::Entry::Turn(turn) => Some(turn),
        transcript::Entry::Aside { .. } | transcript::Entry::NotDelivered(_) => None,
    });
    turns.flat_map(|turn| &turn.steps).flat_map(|step| &step.calls).collect()
}

fn calls(events: &[Event]) -> Vec<&CallUpdate> {
    events
        .iter()
        .filter_map(|event| if let Event::Call(update) = event { Some(update) } else { None })
        .collect()
}

fn steered(transcript: &Transcript) -> Vec<&Prompt> {
    let turns = transcript.entries.iter().filter_map(|entry| match entry {
        transcript::Entry::Turn(turn) => Some(turn),
        transcript::Entry::Aside { .. } | transcript::Entry::NotDelivered(_) => None,
    });
    turns.flat_map(|turn| &turn.steps).flat_map(|step| &step.steered).collect()
}

/// What holds of every journal.
fn holds(entries: &[Entry]) -> Result<(), TestCaseError> {
    let mut restorer = Restorer::new(2);
    for entry in entries {
        restorer.take(entry);
        prop_assert!(open_turns(&restorer.restored.transcript) <= 1);
    }
    let (events, finished) = read(entries);
    let transcript = &finished.restored.transcript;
    prop_assert_eq!(open_turns(transcript), 0);

    // Each call of the transcript is shown, once, in its place, as it ended; one that cards stand for may
    // be left out.
    let shown = calls(&events);
    let is_card = |update: &&&CallUpdate| update.id.as_str().starts_with("task-");
    let cards: Vec<_> = shown.iter().filter(is_card).copied().collect();
    let is_hidden = |id: &CallId| id.as_str() == HIDDEN;
    let shown: Vec<_> =
        shown.iter().filter(|update| !is_card(update) && !is_hidden(&update.id)).copied().collect();
    let settled: Vec<_> =
        settled(transcript).into_iter().filter(|settled| !is_hidden(&settled.call.id)).collect();
    prop_assert_eq!(shown.len(), settled.len());
    for (shown, Settled { call, outcome }) in shown.into_iter().zip(settled) {
        let status = match outcome {
            Outcome::Done { .. } => CallStatus::Completed,
            Outcome::Failed { .. } | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
                CallStatus::Failed
            }
        };
        prop_assert_eq!((&shown.id, shown.status), (&call.id, Some(status)));
        prop_assert_eq!(
            (&shown.tool, &shown.input),
            (&Some(call.tool.clone()), &Some(call.input.clone()))
        );
        prop_assert!(shown.title.is_some() && shown.kind.is_some());
        let live = |content: &CallContent| matches!(content, CallContent::Terminal(_));
        prop_assert!(!shown.content.iter().flatten().any(live));
    }

    // Each card is shown once, where it came to be, as it is in the end.
    let records: Vec<Record> = entries.iter().filter_map(Entry::record).collect();
    let mut known: Vec<(CallId, bool)> = Vec::new();
    for record in &records {
        let Record::Card { card } = record else { continue };
        let is_final = card.status.map(CallStatus::is_final);
        match known.iter_mut().find(|(id, _)| *id == card.id) {
            Some((_, last)) => *last = is_final.unwrap_or(*last),
            None => known.push((card.id.clone(), is_final.unwrap_or(false))),
        }
    }
    let ids: Vec<&CallId> = known.iter().map(|(id, _)| id).collect();
    prop_assert_eq!(cards.iter().map(|card| &card.id).collect::<Vec<_>>(), ids);
    prop_assert!(cards.iter().all(|card| card.status.is_some_and(CallStatus::is_final)));
    let is_copy = records
        .iter()
        .any(|record| matches!(record, Record::Opened(opened) if opened.forked_from.is_some()));
    if !is_copy {
        let open: BTreeSet<CallId> =
            known.into_iter().filter(|(_, is_final)| !is_final).map(|(id, _)| id).collect();
        prop_assert_eq!(&finished.restored.open_cards, &open);
        // No report is there twice: given, or in the inbox.
        let mut reports = BTreeSet::new();
        let given = steered(transcript).into_iter().chain(&finished.restored.inbox);
        for prompt in given.filter(|prompt| prompt.from != Author::User) {
            prop_assert!(reports.insert(&prompt.message));
        }
    }

    ends_are_known(&records, (&events, &finished.restored))?;

    // The repairs say the same in the journal, also where Talaria ended again before all were written.
    let after = |repairs: &[Record]| {
        let repairs = repairs.iter().map(entry);
        read(&entries.iter().cloned().chain(repairs).collect::<Vec<_>>())
    };
    for written in 1..finished.repairs.len() {
        let (_, again) = after(&finished.repairs[..written]);
        prop_assert_eq!(&again.restored, &finished.restored);
    }
    let (events_again, again) = after(&finished.repairs);
    prop_assert_eq!(events_again, events);
    prop_assert_eq!(again.restored, finished.restored);
    prop_assert_eq!(again.repairs, Vec::new());
    Ok(())
}

/// What holds of ends of tasks.
fn ends_are_known(
    records: &[Record],
    (events, restored): (&[Event], &Restored),
) -> Result<(), TestCaseError> {
    // Only what users sent is shown as that.
    for event in events {
        let Event::Said { role: Role::User, content: Content::Text { text }, .. } = event else {
            continue;
        };
        prop_assert!(
            text.starts_with("prompt ") || text.starts_with("[A prompt was here"),
            "{text}"
        );
    }

    // What is not shown yet is, whole, what a replay shows.
    let replayed: BTreeMap<&CallId, &CallUpdate> =
        calls(events).into_iter().map(|card| (&card.id, card)).collect();
    for (task, card) in &restored.unshown {
        prop_assert_eq!(card.id.as_str(), format!("task-t{}", task));
        prop_assert_eq!(Some(&card), replayed.get(&card.id));
        prop_assert!(card.status.is_some_and(CallStatus::is_final));
    }
    if records.iter().any(|record| matches!(record, Record::Opened(_))) {
        return Ok(());
    }

    // A task that has reported is not interrupted.
    let reported = |card: &&CallUpdate| {
        let is_of = |task: &u64| card.id.as_str().starts_with(&format!("task-t{task}"));
        restored.reported.iter().any(is_of)
    };
    for card in calls(events).into_iter().filter(reported) {
        prop_assert_ne!(&card.task.as_ref().unwrap().state, "interrupted");
    }

    // No end is missed and none is told twice; without marks, those do not count that the model knows.
    let mut shown = BTreeSet::new();
    let mut last: BTreeMap<u64, bool> = BTreeMap::new();
    for record in records {
        if let Record::Shown { tasks } = record {
            shown.extend(tasks);
        }
        let Record::Card { card } = record else { continue };
        if let Ok(task) = card.id.as_str().trim_start_matches("task-t").parse() {
            let is_final = last.entry(task).or_default();
            *is_final = card.status.map_or(*is_final, CallStatus::is_final);
        }
    }
    let is_final = |(task, is_final): (u64, bool)| is_final.then_some(task);
    let ended: BTreeSet<u64> = last.into_iter().filter_map(is_final).collect();
    let expected: BTreeSet<u64> = ended.difference(&shown).copied().collect();
    let unshown: BTreeSet<u64> = restored.unshown.keys().copied().collect();
    prop_assert!(unshown.is_subset(&expected));
    let waits = |task: &u64| restored.inbox.contains(&report(*task));
    prop_assert!(expected.iter().filter(|task| waits(task)).all(|task| unshown.contains(task)));
    if matches!(records.first(), Some(Record::Shown { .. })) {
        prop_assert_eq!(unshown, expected);
    }
    Ok(())
}

/// What a session does next, where it can.
#[derive(Debug, Clone)]
enum Move {
    Arrive,
    Aside,
    Begin,
    Reply {
        calls: usize,
        steer: bool,
    },
    LetGo(usize),
    /// The outcome gives the reports of these tasks.
    Settle(usize, Vec<u64>),
    Card(usize, usize),
    Report(u64),
    /// A turn begins by itself, on the reports that are there.
    FollowUp,
    Shown(u64),
    End,
    GiveUpWaiting,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => Just(Move::Arrive),
        1 => Just(Move::Aside),
        4 => Just(Move::Begin),
        6 => (0_usize..4, any::<bool>()).prop_map(|(calls, steer)| Move::Reply { calls, steer }),
        4 => (0_usize..4).prop_map(Move::LetGo),
        8 => (0_usize..4, prop_oneof![6 => Just(Vec::new()), 1 => vec(1_u64..8, 1..3)])
            .prop_map(|(at, gave)| Move::Settle(at, gave)),
        2 => (0..CARDS.len(), 0..STATUSES.len()).prop_map(|(id, status)| Move::Card(id, status)),
        3 => (1_u64..8).prop_map(Move::Report),
        4 => Just(Move::FollowUp),
        2 => (1_u64..3).prop_map(Move::Shown),
        2 => Just(Move::End),
        1 => Just(Move::GiveUpWaiting),
    ]
}

/// A step without its calls, and they, with the outcomes so far.
type Open = (Step, Vec<(Call, Option<Outcome>)>);

/// A session that keeps its own transcript beside the journal, as simply as can be.
#[derive(Default)]
struct Live {
    records: Vec<Record>,
    transcript: Transcript,
    waiting: Vec<Prompt>,
    running: bool,
    step: Option<Open>,
    made: usize,
    inbox: Vec<Prompt>,
    reported: BTreeSet<u64>,
    gave: BTreeSet<u64>,
}

impl Live {
    fn id(&mut self, letter: char) -> String {
        self.made += 1;
        format!("{letter}{}", self.made)
    }

    fn make(&mut self, next: &Move) {
        match next.clone() {
            Move::Arrive => {
                let id = self.id('m');
                self.waiting.push(prompt(&id));
                self.records.push(arrives(&id));
            }
            Move::Aside => {
                let prompt = prompt(&self.id('m'));
                let (message, answer) = (message(&self.id('m')), "answer".to_owned());
                self.records.push(Record::Aside {
                    prompt: prompt.clone(),
                    message: message.clone(),
                    answer: answer.clone(),
                });
                self.transcript.entries.push(transcript::Entry::Aside { prompt, message, answer });
            }
            Move::Begin if !self.running && !self.waiting.is_empty() => {
                let prompt = self.waiting.remove(0);
                self.begin(prompt);
            }
            Move::FollowUp
                if !self.running && self.waiting.is_empty() && !self.inbox.is_empty() =>
            {
                let prompt = follow_up(&self.id('m'));
                self.records.push(Record::Prompt { prompt: prompt.clone() });
                self.begin(prompt);
            }
            Move::Shown(task) => self.records.push(Record::Shown { tasks: vec![task] }),
            Move::Reply { calls, steer } if self.running && self.step.is_none() => {
                let mut steered =
                    if steer { std::mem::take(&mut self.waiting) } else { Vec::new() };
                if steer {
                    steered.append(&mut self.inbox);
                }
                let ids: Vec<String> = (0..calls).map(|_| self.id('c')).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let reply = words(&self.id('m'), &ids);
                let messages = steered.iter().map(|prompt| prompt.message.clone()).collect();
                self.records.push(Record::Reply {
                    reply: Reply { steered: messages, ..reply.clone() },
                    spent: None,
                });
                let step = Step {
                    steered,
                    thought: reply.thought,
                    thought_message: reply.thought_message,
                    thoughts: reply.thoughts,
                    text: reply.text,
                    message: reply.message,
                    calls: Vec::new(),
                    usage: reply.usage,
                };
                self.step =
                    Some((step, reply.calls.into_iter().map(|call| (call, None)).collect()));
                self.close_step();
            }
            Move::LetGo(at) => {
                if let Some((call, None)) = self.step.as_ref().and_then(|(_, calls)| calls.get(at))
                {
                    self.records.push(begun(call.id.as_str()));
                }
            }
            Move::Settle(at, gave) => {
                let calls = self.step.as_mut().map(|(_, calls)| calls);
                if let Some((call, outcome @ None)) = calls.and_then(|calls| calls.get_mut(at)) {
                    *outcome = Some(Outcome::done("done"));
                    let Record::Outcome { call, outcome, shown, .. } =
                        done(call.id.as_str(), "done")
                    else {
                        unreachable!()
                    };
                    self.gave.extend(&gave);
                    self.inbox.retain(
                        |report| !matches!(report.from, Author::Task(n) if gave.contains(&n)),
                    );
                    self.records.push(Record::Outcome { call, outcome, shown, gave });
                    self.close_step();
                }
            }
            Move::End if self.running && self.step.is_none() => {
                self.running = false;
                let over = Over::Ended { end: End::Finished };
                self.transcript.open_turn().unwrap().over = Some(over.clone());
                self.records.push(Record::End { over });
            }
            Move::GiveUpWaiting if !self.waiting.is_empty() => {
                let prompt = self.waiting.remove(0);
                self.records.push(Record::NotDelivered { prompt: prompt.message.clone() });
                self.transcript.entries.push(transcript::Entry::NotDelivered(prompt));
            }
            Move::Card(id, status) => self.records.push(card(CARDS[id], STATUSES[status])),
            Move::Report(task) if self.reported.insert(task) => {
                self.records.push(Record::Report { report: report(task) });
                if !self.gave.contains(&task) {
                    self.inbox.push(report(task));
                }
            }
            Move::Report(_)
            | Move::FollowUp
            | Move::Begin
            | Move::Reply { .. }
            | Move::End
            | Move::GiveUpWaiting => {}
        }
    }

    fn begin(&mut self, prompt: Prompt) {
        self.running = true;
        self.records.push(turn(prompt.message.as_str()));
        let turn = Turn { prompt, steps: Vec::new(), over: None };
        self.transcript.entries.push(transcript::Entry::Turn(Arc::new(turn)));
    }

    fn close_step(&mut self) {
        let whole = |(_, calls): &mut Open| calls.iter().all(|(_, outcome)| outcome.is_some());
        if let Some((mut step, calls)) = self.step.take_if(whole) {
            step.calls = calls
                .into_iter()
                .map(|(call, outcome)| Settled { call, outcome: outcome.unwrap() })
                .collect();
            self.transcript.open_turn().unwrap().steps.push(Arc::new(step));
        }
    }
}

proptest! {
    #[test]
    fn no_journal_is_too_broken(entries in vec(any_entry(), 0..40)) {
        holds(&entries)?;
    }

    #[test]
    fn a_session_is_restored_from_wherever_it_died(
        moves in vec(any_move(), 0..40),
        is_marked in any::<bool>(),
        end in any::<Index>(),
    ) {
        let mut live = Live::default();
        if is_marked {
            live.records.push(Record::Shown { tasks: Vec::new() });
        }
        let mut restorer = Restorer::new(2);
        let mut taken = 0;
        for next in moves {
            live.make(&next);
            for record in &live.records[taken..] {
                restorer.take(&entry(record));
            }
            taken = live.records.len();
            // Also in the middle of a turn: it is what the session has in memory now.
            prop_assert_eq!(&restorer.restored.transcript, &live.transcript);
            prop_assert_eq!(&restorer.waiting, &live.waiting);
            prop_assert_eq!(&restorer.restored.inbox, &live.inbox);
            prop_assert_eq!(&restorer.restored.reported, &live.reported);
        }
        // What was said is kept: nothing but what was open is told anew.
        let before = live.transcript.entries.len();
        let finished = restorer.finish();
        prop_assert_eq!(
            finished.restored.transcript.entries.len(),
            before + live.waiting.len()
        );
        let open = live.step.iter().flat_map(|(_, calls)| calls);
        let open = open.filter(|(_, outcome)| outcome.is_none()).count();
        let told = usize::from(live.running || !live.waiting.is_empty());
        prop_assert_eq!(
            finished.repairs.len(),
            open + told + usize::from(live.running) + live.waiting.len()
        );
        holds(&live.records.iter().map(entry).collect::<Vec<_>>())?;
        // Also between two records that are written together.
        let written = end.index(live.records.len() + 1);
        let entries: Vec<Entry> = live.records[..written].iter().map(entry).collect();
        holds(&entries)?;
        let (_, finished) = read(&entries);
        let mut given: Vec<&MessageId> =
            steered(&finished.restored.transcript).into_iter().map(|one| &one.message).collect();
        given.extend(finished.restored.inbox.iter().map(|report| &report.message));
        for task in finished.restored.reported {
            let times = given.iter().filter(|message| ***message == report(task).message).count();
            prop_assert!(times == 1 || times == 0 && live.gave.contains(&task));
        }
        let lost = finished.repairs.iter().any(|record| matches!(record, Record::NotDelivered { .. }));
        let told = finished.repairs.iter().any(|record| matches!(record, Record::Told { .. }));
        let is_follow_up = |record: &Record| {
            matches!(record, Record::Prompt { prompt } if prompt.from == Author::FollowUp)
        };
        if lost && live.records[..written].last().is_some_and(is_follow_up) {
            // It would have begun while nothing ran and no prompt waited.
            prop_assert!(!told);
        }
    }
}

#[test]
fn a_call_that_had_begun_is_told_from_one_that_had_not() {
    let records = [arrives("m1"), turn("m1"), reply("m2", &["c1", "c2"]), begun("c2")];
    let (_, finished) = read(&records.map(|record| entry(&record)));
    let outcomes: Vec<_> = settled(&finished.restored.transcript)
        .into_iter()
        .map(|settled| settled.outcome.text())
        .collect();
    assert!(outcomes[0].ends_with("it did not run"), "{outcomes:?}");
    assert!(outcomes[1].contains("it may have taken effect"), "{outcomes:?}");
}
