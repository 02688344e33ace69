//! What the client of a session makes of what it is told: whether it shows what comes while no prompt is
//! open, and what else it can show. Values only; which client does what is `acp::profiles`'.

/// A session's client, as far as it matters for what it is told. The default is one of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Viewer {
    pub late: Late,
    /// It shows the sessions that do tasks as sessions of their own (`clientCapabilities.subagents`).
    pub subagents: bool,
    /// It shows notices (`clientCapabilities.session.notices`).
    pub notices: bool,
    /// It shows several plans (`clientCapabilities.plan`).
    pub plans: bool,
}

/// What becomes of what is said while no prompt is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Late {
    /// It is shown, and a question then is answered.
    Shown,
    /// The same, and it may be lost again later: it is told once more with the next prompt.
    ShownTwice,
    /// It may be lost, and a question may never be answered.
    #[default]
    Lost,
}
