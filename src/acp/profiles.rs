//! What known clients make of what comes while no prompt is open: one table, and the capabilities that say
//! it for all others. It decides nothing of what they are told.
//!
//! Each row was watched on the wire and on the client's own screen in November 2026, or read in its source
//! (`editors/README.md`). Nobody is put among those that show late updates on hearsay: whoever is not here, or
//! older than here, may lose them.

use agent_client_protocol::v1::schema as acp;

use crate::viewer::{Late, Viewer};

struct Profile {
    /// `clientInfo.name`, in lower case.
    name: &'static str,
    /// The first version of which this is known; earlier ones may lose what comes late.
    since: [u64; 3],
    late: Late,
}

const PROFILES: [Profile; 9] = [
    // Its source: updates are looked up by the session alone, and a permission request notifies.
    Profile { name: "zed", since: [0, 0, 0], late: Late::Shown },
    // Seen: shows all, answers late questions.
    Profile { name: "toad", since: [0, 6, 20], late: Late::Shown },
    // Seen; kin of Toad.
    Profile { name: "codeswarm", since: [0, 6, 43], late: Late::Shown },
    // Seen: 0.48 only says that something stale came.
    Profile { name: "agent-shell", since: [0, 74, 0], late: Late::Shown },
    // Seen: the next turn's text takes the place of the late bubble.
    Profile { name: "vscode-acp-client", since: [0, 2, 0], late: Late::ShownTwice },
    // Seen: late text is put behind the last answer.
    Profile { name: "jupyter ai", since: [0, 1, 0], late: Late::ShownTwice },
    // Seen: drops late text, calls and plans; never answers a late question.
    Profile { name: "codecompanion.nvim", since: [0, 0, 0], late: Late::Lost },
    // Seen: waits for quiet behind a prompt, then ends.
    Profile { name: "acpx", since: [0, 0, 0], late: Late::Lost },
    // Ours: `talaria run`, and `talaria drive` where it plays nobody else.
    Profile { name: "talaria", since: [0, 0, 0], late: Late::Shown },
];

/// What a client makes of what it is told.
pub(super) fn viewer(request: &acp::InitializeRequest) -> Viewer {
    let capabilities = &request.client_capabilities;
    let subagents = capabilities.subagents.is_some();
    let late = match &request.client_info {
        // Who shows the sessions of tasks shows what they do at any time.
        _ if subagents => Late::Shown,
        Some(client) => late(&client.name, &client.version),
        None => Late::Lost,
    };
    let notices = capabilities.session.as_ref().is_some_and(|session| session.notices.is_some());
    Viewer { late, subagents, notices, plans: capabilities.plan.is_some() }
}

fn late(name: &str, version: &str) -> Late {
    let name = name.to_lowercase();
    let profile = PROFILES.iter().find(|profile| profile.name == name);
    match profile {
        Some(profile) if numbers(version) >= profile.since => profile.late,
        Some(_) | None => Late::Lost,
    }
}

/// The first three numbers of a version such as `v0.74.3-beta`; what cannot be read is 0.
fn numbers(version: &str) -> [u64; 3] {
    let digits = |part: &str| -> u64 {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        part.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    };
    let mut parts = version.trim_start_matches(['v', 'V']).split('.').map(digits);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(client: Value, capabilities: &Value) -> Viewer {
        let mut request = json!({ "protocolVersion": 1, "clientCapabilities": capabilities });
        if !client.is_null() {
            request["clientInfo"] = client;
        }
        viewer(&serde_json::from_value(request).unwrap())
    }

    fn late_of(name: &str, version: &str) -> Late {
        of(json!({ "name": name, "version": version }), &json!({})).late
    }

    #[test]
    fn a_client_is_known_by_its_name_and_version() {
        assert_eq!(late_of("zed", "0.300.1"), Late::Shown);
        assert_eq!(late_of("Toad", "0.6.20"), Late::Shown);
        assert_eq!(late_of("toad", "0.6.19"), Late::Lost);
        assert_eq!(late_of("agent-shell", "0.74.3"), Late::Shown);
        assert_eq!(late_of("agent-shell", "0.48.1"), Late::Lost);
        assert_eq!(late_of("agent-shell", "v1.0"), Late::Shown);
        assert_eq!(late_of("agent-shell", "unknown"), Late::Lost);
        assert_eq!(late_of("Jupyter AI", "0.1.0"), Late::ShownTwice);
        assert_eq!(late_of("vscode-acp-client", "0.2.0"), Late::ShownTwice);
        assert_eq!(late_of("CodeCompanion.nvim", "19.0.0"), Late::Lost);
        assert_eq!(late_of("somebody", "9.9.9"), Late::Lost);
    }

    #[test]
    fn without_a_name_nothing_is_known() {
        assert_eq!(of(Value::Null, &json!({})), Viewer::default());
    }

    #[test]
    fn capabilities_say_what_else_is_shown() {
        let all = json!({"subagents": {}, "plan": {}, "session": {"notices": {}}});
        let expected = Viewer { late: Late::Shown, subagents: true, notices: true, plans: true };
        assert_eq!(of(Value::Null, &all), expected);
        let losing = json!({"name": "CodeCompanion.nvim", "version": "1.0.0"});
        assert_eq!(of(losing, &json!({"subagents": {}})).late, Late::Shown);
    }
}
