//! The one table of methods, as a `RpcModule`: the socket serves it, and the connection of the client calls into it. A
//! panic in a method costs that request only.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use jsonrpsee_core::server::{Methods, RpcModule};
use jsonrpsee_types::{ErrorObject, ErrorObjectOwned, Params};
use serde_json::{Value, json};
use talaria_protocol::REQUESTS;

use super::methods::{Doors, METHODS, Method};
use super::{CallError, events};
use crate::session::directory::Directory;

/// What the table says of its process.
#[derive(Debug, Clone)]
pub struct About {
    pub version: &'static str,
    /// What the client that started the process calls itself, once it has said so.
    pub client: Arc<OnceLock<String>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Table {
    pub(super) methods: Methods,
}

impl Table {
    /// The methods for the sessions of `directory`.
    pub fn new(directory: Directory, about: About) -> Self {
        let mut module = RpcModule::new(Doors { directory, about });
        for (name, method) in METHODS {
            let serve =
                move |params: Params<'static>, doors: Arc<Doors>, _| serve(method, params, doors);
            if let Err(error) = module.register_async_method(name, serve) {
                tracing::error!(%error, "two methods have one name");
            }
        }
        if let Err(error) = events::register(&mut module) {
            tracing::error!(%error, "two methods have one name");
        }
        Self { methods: module.into() }
    }

    /// Those of [`REQUESTS`] that are served.
    pub fn requests(&self) -> impl Iterator<Item = &'static str> {
        REQUESTS.into_iter().filter(|name| self.methods.method(name).is_some())
    }

    /// Calls one of [`REQUESTS`]. It may wait as long as the method does.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        if !REQUESTS.contains(&method) {
            return Err(CallError::method_not_found(method));
        }
        let request = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params});
        let answer = self.methods.raw_json_request(&request.to_string(), 1).await;
        let answer = answer.and_then(|(answer, _)| serde_json::from_str::<Value>(answer.get()));
        let mut answer = answer.map_err(|error| {
            tracing::error!(%error, method, "a request or its answer is no JSON");
            CallError::defect()
        })?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(error_of(&mut answer)),
        }
    }
}

/// The error in an answer that has no result.
fn error_of(answer: &mut Value) -> CallError {
    let Some(error) = answer.get_mut("error") else { return CallError::defect() };
    let code = error["code"].as_i64().and_then(|code| i32::try_from(code).ok());
    let message = error["message"].as_str().map(str::to_owned);
    let data = error.get_mut("data").map(Value::take);
    match (code, message) {
        (Some(code), Some(message)) => CallError { code, message, data },
        _ => CallError::defect(),
    }
}

/// Runs one method: the edge at which a panic ends.
async fn serve(
    method: Method,
    params: Params<'static>,
    doors: Arc<Doors>,
) -> Result<Value, ErrorObjectOwned> {
    let served = async move { method(doors, json_of(&params)?).await };
    let result = AssertUnwindSafe(served).catch_unwind().await;
    result.unwrap_or_else(|_| Err(CallError::defect())).map_err(ErrorObjectOwned::from)
}

/// Parameters as JSON; nothing where there are none.
pub(super) fn json_of(params: &Params<'_>) -> Result<Value, CallError> {
    let json = params.as_str().map_or(Ok(Value::Null), serde_json::from_str);
    json.map_err(|_| CallError::invalid("The parameters are no JSON."))
}

impl From<CallError> for ErrorObjectOwned {
    fn from(error: CallError) -> Self {
        ErrorObject::owned(error.code, error.message, error.data)
    }
}
