//! What can happen to a session, in any order: nothing is told before it is written.

use proptest::prelude::*;

use super::*;

/// What can happen, as often and in any order.
fn incident() -> impl Strategy<Value = Incident> {
    use Incident::*;
    let call = 1..4_u8;
    prop_oneof![
        4 => Just(Prompt),
        1 => Just(Command),
        1 => Just(Cancel),
        1 => Just(Title),
        1 => Just(Setting),
        1 => Just(Trouble),
        3 => call.clone().prop_map(Announced),
        3 => Just(Replied),
        3 => call.clone().prop_map(Described),
        2 => call.clone().prop_map(Asks),
        2 => call.clone().prop_map(Answered),
        2 => call.clone().prop_map(Begins),
        3 => call.prop_map(Settled),
        1 => Just(Plan),
        1 => Just(Told),
        2 => Just(Ends),
        1 => Just(Dies),
        1 => Just(Close),
    ]
}

#[derive(Debug, Clone)]
enum Incident {
    Prompt,
    Command,
    Cancel,
    Title,
    Setting,
    Trouble,
    Announced(u8),
    Replied,
    Described(u8),
    Asks(u8),
    Answered(u8),
    Begins(u8),
    Settled(u8),
    Plan,
    Told,
    Ends,
    Dies,
    Close,
}

fn input(incident: &Incident, count: u64, prompts: &mut u64) -> Input {
    let id = |call: &u8| format!("c{call}");
    match incident {
        Incident::Prompt => {
            *prompts += 1;
            prompt(*prompts, "text")
        }
        Incident::Command => {
            *prompts += 1;
            prompt(*prompts, "/mode plan")
        }
        Incident::Cancel => Input::Cancel { upto: PromptId(*prompts) },
        Incident::Title => Input::SetTitle(format!("title {count}")),
        Incident::Setting => Input::Set(Setting::Model(
            if count.is_multiple_of(2) { "one" } else { "two" }.to_owned(),
        )),
        Incident::Trouble => Input::Store((count.is_multiple_of(2)).then_some(Trouble::Full)),
        Incident::Announced(call) => announced(&id(call), "tool", ToolKind::Other),
        Incident::Replied => replied("text", &["c1", "c2", "c3"]),
        Incident::Described(call) => described(&id(call)),
        Incident::Asks(call) => asks(&id(call), &format!("key {count}")),
        Incident::Answered(call) => answer(&id(call), Answer::AllowAlways),
        Incident::Begins(call) => begins(&id(call), count.is_multiple_of(2)),
        Incident::Settled(call) => settled(&id(call), Outcome::done("ok")),
        Incident::Plan => event(Event::Plan(vec![PlanEntry {
            content: count.to_string(),
            status: PlanStatus::Pending,
            priority: PlanPriority::Low,
        }])),
        Incident::Told => {
            let message = MessageId::new(format!("t{count}"));
            said(TurnSaid::Told { message, text: "told".to_owned() })
        }
        Incident::Ends => ended(End::Finished),
        Incident::Dies => died(),
        Incident::Close => Input::Close,
    }
}

/// Whether a record stands for this effect; `None` for one that needs none.
#[expect(clippy::wildcard_enum_match_arm, reason = "most effects need no record")]
fn is_written(effect: &Effect, written: &[Record], now: &[Record]) -> Option<bool> {
    let last_of = |kind: &str| written.iter().rev().find(|record| record.kind() == kind);
    let has = |kind: &str| now.iter().any(|record| record.kind() == kind);
    Some(match effect {
        Effect::Tell(Event::Said { message, .. }) => written.iter().any(|record| {
            matches!(
                record,
                Record::Told { message: told, .. } | Record::Aside { message: told, .. }
                    if told == message
            )
        }),
        Effect::Tell(Event::Title(title)) => {
            matches!(last_of("title"), Some(Record::Title { title: kept, .. }) if kept == title)
        }
        Effect::Tell(Event::Settings(settings)) => matches!(
            last_of("settings"),
            Some(Record::Settings { mode, model, .. })
                if *mode == settings.mode && *model == settings.model
        ),
        Effect::Tell(Event::Plan(plan)) => {
            matches!(last_of("plan"), Some(Record::Plan { entries }) if entries == plan)
        }
        Effect::Tell(Event::Usage(_)) => has("reply"),
        Effect::Tell(Event::Call(update)) => match update.status {
            Some(status) if status.is_final() => now
                .iter()
                .any(|record| matches!(record, Record::Outcome { call, .. } if *call == update.id)),
            // An announcement.
            Some(_) => return None,
            None => now
                .iter()
                .any(|record| matches!(record, Record::Call { shown } if shown.id == update.id)),
        },
        Effect::LetGo(_) => has("begun"),
        Effect::AnswerTurn { .. } => has("permission"),
        Effect::StartTurn { prompt, .. } => {
            matches!(last_of("turn"), Some(Record::Turn { prompt: begun }) if *begun == prompt.message)
        }
        // A refusal is told, too, and leaves nothing behind.
        Effect::Reply { answer: Err(fault), .. } if fault.kind == Kind::User => return None,
        Effect::Reply { .. } => has("end") || has("aside") || has("not_delivered"),
        Effect::ReplyTitle(Ok(_)) => has("title"),
        _ => return None,
    })
}

proptest! {
    /// Whatever happens, what outlives the process is written before it is told or begins.
    #[test]
    fn nothing_is_told_before_it_is_written(
        incidents in prop::collection::vec(incident(), 1..80),
        busy in prop_oneof![Just(Busy::Steer), Just(Busy::Queue), Just(Busy::Interrupt)],
    ) {
        let mut state = state(busy);
        let mut running = false;
        let mut stopped = false;
        let mut prompts = 0;
        let mut written: Vec<Record> = Vec::new();
        let mut unsettled: BTreeSet<CallId> = BTreeSet::new();
        for (count, incident) in incidents.iter().enumerate() {
            let input = input(incident, count as u64, &mut prompts);
            let settles_nothing = matches!(
                &input,
                Input::Turn(TurnSaid::Settled { call, .. }) if !unsettled.contains(call)
            );
            // A turn speaks while it runs, and settles what it asked for.
            if stopped || matches!(input, Input::Turn(_)) && !running || settles_nothing {
                continue;
            }
            let is_of_store = matches!(input, Input::Store(_));
            let dies = matches!(incident, Incident::Dies | Incident::Ends);
            let before = written.len();
            for effect in state.handle(input) {
                if let Effect::Append(record, _) = effect {
                    if let Record::Reply { reply, .. } = &record {
                        unsettled = reply.calls.iter().map(|call| call.id.clone()).collect();
                    } else if let Record::Outcome { call, .. } = &record {
                        prop_assert!(unsettled.remove(call), "two outcomes: {call}");
                    } else if let Record::End { .. } = &record {
                        running = false;
                        prop_assert!(unsettled.is_empty(), "calls without an outcome");
                    } else if let Record::Turn { .. } = &record {
                        running = true;
                    }
                    written.push(record);
                    continue;
                }
                stopped |= matches!(effect, Effect::Stop);
                let is_told = matches!(effect, Effect::Tell(Event::Said { .. }));
                let is_call = matches!(effect, Effect::Tell(Event::Call(_)));
                // Words on the store are of the moment, and so is what is said of a call that no reply
                // has.
                let now = &written[before..];
                let is_of_moment = is_told && (is_of_store || now.iter().any(|record| matches!(record, Record::Turn { .. })))
                    || is_call && dies;
                if let Some(is_written) = is_written(&effect, &written, now)
                    && !is_of_moment
                {
                    prop_assert!(is_written, "{effect:?} is told before it is written: {now:#?}");
                }
            }
        }
    }
}
