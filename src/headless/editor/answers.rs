//! What the editor answers to the agent's requests: permission by policy, files, terminals.

use serde_json::{Value, json};

use super::{Editor, Question, Seen};
use crate::headless::files::FileWork;
use crate::headless::policy;
use crate::headless::policy::Policy;
use crate::headless::seen::RpcError;
use crate::permission::Answer;

impl Editor {
    pub(super) fn asked(&mut self, id: Value, method: String, params: Value) -> Seen {
        self.laws.agent_spoke(&method, &params);
        let mut said = None;
        match method.as_str() {
            "session/request_permission" => match self.policy.next() {
                Some(answer) => {
                    let (result, answer) = policy::outcome(answer, &params);
                    said = Some(answer);
                    self.reply(&id, Ok(result));
                }
                None if self.policy == Policy::Manual => {
                    self.questions.push_back(Question { id: id.clone(), params: params.clone() });
                }
                None => {}
            },
            "fs/read_text_file" => self.file_work(&id, self.files.read(&params)),
            "fs/write_text_file" => {
                let work = self.files.write(&params);
                self.file_work(&id, work);
            }
            "terminal/create" => {
                let result = self.terminals.create(&params);
                self.reply(&id, result);
            }
            "terminal/output" => self.reply(&id, self.terminals.output(&params)),
            "terminal/kill" => self.reply(&id, self.terminals.kill(&params)),
            "terminal/release" => {
                let result = self.terminals.release(&params);
                self.reply(&id, result);
            }
            "terminal/wait_for_exit" => match self.terminals.wait(&params) {
                Ok(exit) => {
                    let id = id.clone();
                    self.replies.spawn(async move { (id, exit.await) });
                }
                Err(error) => self.reply(&id, Err(error)),
            },
            _ => self.reply(&id, Err(RpcError::new(-32601, format!("no method `{method}`")))),
        }
        Seen::Asked { id, method, params, said }
    }

    pub(super) fn file_work(&mut self, id: &Value, work: FileWork) {
        let id = id.clone();
        self.replies.spawn(async move { (id, work.run().await) });
    }

    pub(super) fn reply(&mut self, id: &Value, result: Result<Value, RpcError>) {
        self.send(&match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": error.code, "message": error.message}})
            }
        });
    }

    pub(super) fn take_question(&mut self, id: &Value) -> Option<Question> {
        let place = self.questions.iter().position(|question| question.id == *id)?;
        self.questions.remove(place)
    }

    /// The agent no longer wants an answer to a question: it gets `cancelled`.
    pub(super) fn withdraw(&mut self, id: &Value) {
        if let Some(question) = self.take_question(id) {
            let (result, _) = policy::outcome(Answer::Unanswered, &question.params);
            self.reply(&question.id, Ok(result));
        }
    }
}
