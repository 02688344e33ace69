//! How the headless editor answers when the agent asks for permission.
//! It is a value and a pure rule; who asks a person is `cli`.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::permission::Answer;

/// What to do with `session/request_permission`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// These answers in order; the last one stays. Empty refuses.
    Answers(VecDeque<Answer>),
    /// The caller answers each question (`Editor::answer`).
    Manual,
    /// Nobody ever answers.
    Silent,
}

impl Policy {
    pub fn always(answer: Answer) -> Self {
        Self::Answers(VecDeque::from([answer]))
    }

    /// The answer to the next question, if it is given at once.
    pub(crate) fn next(&mut self) -> Option<Answer> {
        match self {
            Self::Answers(answers) if answers.len() > 1 => answers.pop_front(),
            Self::Answers(answers) => Some(answers.front().copied().unwrap_or(Answer::RejectOnce)),
            Self::Manual | Self::Silent => None,
        }
    }
}

/// An answer's word in scripts and on the terminal.
pub fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::AllowOnce | Answer::AllowAlways | Answer::RejectOnce | Answer::RejectAlways => {
            answer.id()
        }
        Answer::Unanswered => "cancelled",
    }
}

/// The answer that a word names.
pub fn from_word(text: &str) -> Option<Answer> {
    Answer::OFFERED.into_iter().chain([Answer::Unanswered]).find(|answer| word(*answer) == text)
}

/// The result of the request: the offered option of the answer's kind. What was not offered cannot be
/// chosen, so it is `cancelled` then; the second value is what was really said.
pub(crate) fn outcome(answer: Answer, params: &Value) -> (Value, Answer) {
    let wanted = word(answer);
    let options =
        params.get("options").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let chosen = options
        .iter()
        .find(|option| option.get("kind").and_then(Value::as_str) == Some(wanted))
        .and_then(|option| option.get("optionId"));
    match chosen {
        Some(id) => (json!({"outcome": {"outcome": "selected", "optionId": id}}), answer),
        None => (json!({"outcome": {"outcome": "cancelled"}}), Answer::Unanswered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_stays() {
        let mut policy = Policy::Answers(VecDeque::from([Answer::AllowOnce, Answer::RejectOnce]));
        assert_eq!(policy.next(), Some(Answer::AllowOnce));
        assert_eq!(policy.next(), Some(Answer::RejectOnce));
        assert_eq!(policy.next(), Some(Answer::RejectOnce));
        assert_eq!(Policy::Manual.next(), None);
    }

    #[test]
    fn only_an_offered_option_is_chosen() {
        let params = json!({"options": [{"optionId": "yes", "kind": "allow_once", "name": "Yes"}]});
        let (result, said) = outcome(Answer::AllowOnce, &params);
        assert_eq!(
            (result["outcome"]["optionId"].as_str(), said),
            (Some("yes"), Answer::AllowOnce)
        );
        let (result, said) = outcome(Answer::AllowAlways, &params);
        assert_eq!(
            (result["outcome"]["outcome"].as_str(), said),
            (Some("cancelled"), Answer::Unanswered)
        );
    }
}
