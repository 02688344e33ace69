//! `talaria sessions show`: a stored conversation as `talaria run` prints one. It only reads, so it takes
//! no lease.

use std::io;
use std::io::Write;

use super::{Failure, failed};
use crate::acp;
use crate::event::{Event, Role};
use crate::headless::print::{Format, Printer};
use crate::ids::SessionId;
use crate::session::restore::Restorer;
use crate::store::{Batches, Entry, Store, Summary};
use crate::transcript::Content;

pub(super) async fn show(
    store: &Store,
    session: &Summary,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let mut screen = Screen { printer: Printer::new(out, format), prompt: None };
    let mut restorer = Restorer::default();
    if session.open_in.is_some() {
        restorer = restorer.of_open_session();
    }
    let mut cards = store.card_batches(&session.id);
    loop {
        let entries = next(&mut cards, &session.id).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            restorer.foresee(entry);
        }
    }
    let mut batches = store.batches(&session.id);
    loop {
        let entries = next(&mut batches, &session.id).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            for event in restorer.take(entry) {
                screen.event(event)?;
            }
        }
    }
    for event in restorer.finish().events {
        // How a turn ended that was interrupted is not true of one that runs.
        if session.open_in.is_none() || matches!(event, Event::Title(_) | Event::Usage(_)) {
            screen.event(event)?;
        }
    }
    screen.end(session)
}

/// The next records of a session; none at the end.
async fn next(batches: &mut Batches, id: &SessionId) -> Result<Vec<Entry>, Failure> {
    batches.next().await.map_err(|error| failed(&error, Some(id)))
}

/// All records of a session.
pub(super) async fn entries(store: &Store, id: &SessionId) -> Result<Vec<Entry>, Failure> {
    let mut batches = store.batches(id);
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let entries = next(&mut batches, id).await?;
        if entries.is_empty() {
            return Ok(all);
        }
        all.extend(entries);
    }
}

struct Screen<'a> {
    printer: Printer<'a>,
    /// A prompt whose pieces are gathered.
    prompt: Option<String>,
}

impl Screen<'_> {
    fn event(&mut self, event: Event) -> io::Result<()> {
        if self.printer.format() != Format::Json {
            if let Event::Said { role: Role::User, content, .. } = &event {
                let text = self.prompt.get_or_insert_default();
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&in_words(content));
                return Ok(());
            }
            self.end_prompt()?;
        }
        for update in acp::updates_of(event) {
            self.printer.update(&update, &|_| None)?;
        }
        Ok(())
    }

    fn end_prompt(&mut self) -> io::Result<()> {
        match self.prompt.take() {
            Some(text) => self.printer.prompt(&text),
            None => Ok(()),
        }
    }

    fn end(&mut self, session: &Summary) -> Result<(), Failure> {
        self.end_prompt()?;
        self.printer.start_line()?;
        self.printer.usage()?;
        if let Some(pid) = session.open_in {
            self.printer.note(&format!(
                "The session is open in process {pid}: calls that run there now are not shown."
            ))?;
        }
        Ok(())
    }
}

/// A piece of a prompt as a person reads it.
fn in_words(content: &Content) -> String {
    match content {
        Content::Text { text } => text.clone(),
        Content::Image { mime, .. } => format!("[an image, {mime}]"),
        Content::Link { uri, name } => format!("[{name}]({uri})"),
        Content::Resource { uri, .. } => format!("[the content of {uri}]"),
    }
}
