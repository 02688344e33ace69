//! A request as `genai` wants it. Which fields a server is sent is decided here.

use genai::adapter::AdapterKind;
use genai::chat::{
    CacheControl, ChatMessage, ChatOptions, ChatRequest, ChatRole, ContentPart, CustomPart,
    MessageContent, ReasoningEffort, Tool, ToolCall, ToolName, ToolResponse,
};
use genai::resolver::AuthData;
use genai::{Headers, ModelIden, ServiceTarget};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::frames::REDACTED;
use crate::config::{ProviderKind, Secret};
use crate::event::ThoughtLevel;
use crate::model::{Item, Request, ToolSpec};
use crate::transcript::{Call, Content, Outcome, Thought};

/// Longest replies of models that `genai` does not know, where the dialect demands a limit.
const MAX_OUTPUT_TOKENS: u32 = 32_000;

/// `genai` reads wishes out of a model's name (`mistral-medium` would become `mistral` with medium
/// effort, `a::b` would lose its `a`), so it is given this one where the real name is put into the body.
const NAMELESS: &str = "model";

/// What `genai` is asked with.
pub(super) struct Ask {
    pub(super) target: ServiceTarget,
    pub(super) chat: ChatRequest,
    pub(super) options: ChatOptions,
}

pub(super) fn ask(endpoint: &Endpoint, key: Option<&Secret>, request: &Request) -> Ask {
    let (adapter, name) = match endpoint.kind {
        ProviderKind::Openai => (AdapterKind::OpenAI, NAMELESS),
        ProviderKind::Anthropic if is_mangled(&request.model) => (AdapterKind::Anthropic, NAMELESS),
        ProviderKind::Anthropic => (AdapterKind::Anthropic, request.model.as_str()),
    };
    let target = ServiceTarget {
        endpoint: genai::resolver::Endpoint::from_owned(endpoint.base_url.as_str()),
        auth: auth(endpoint, key),
        model: ModelIden::new(adapter, name),
    };
    Ask { target, chat: chat(endpoint.kind, request), options: options(endpoint, request) }
}

/// The address and the headers are ours: `genai` wants a key where a server needs none, and loses the
/// query of an address.
fn auth(endpoint: &Endpoint, key: Option<&Secret>) -> AuthData {
    let key = key.map(|key| key.reveal().trim().to_owned());
    let mut headers = Vec::new();
    match endpoint.kind {
        ProviderKind::Openai => {
            headers.extend(key.map(|key| ("Authorization".to_owned(), format!("Bearer {key}"))));
        }
        ProviderKind::Anthropic => {
            headers.extend(key.map(|key| ("x-api-key".to_owned(), key)));
            headers.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
        }
    }
    AuthData::RequestOverride { url: endpoint.chat_url(), headers: Headers::from(headers) }
}

fn is_mangled(name: &str) -> bool {
    name.contains("::") || ReasoningEffort::from_model_name(name).0.is_some()
}

fn options(endpoint: &Endpoint, request: &Request) -> ChatOptions {
    // Of the captures this one alone shapes the request: it asks an OpenAI server for the usage.
    let mut options = ChatOptions::default().with_capture_usage(true);
    let mut body = serde_json::Map::new();
    body.insert("model".to_owned(), Value::from(request.model.as_str()));
    let mut effort = match request.thought {
        ThoughtLevel::Auto => None,
        ThoughtLevel::Low => Some(ReasoningEffort::Low),
        ThoughtLevel::Medium => Some(ReasoningEffort::Medium),
        ThoughtLevel::High => Some(ReasoningEffort::High),
    };
    match endpoint.kind {
        ProviderKind::Openai => {
            if let Some(limit) = request.max_output_tokens {
                let name = if is_reasoner(&request.model) {
                    "max_completion_tokens"
                } else {
                    "max_tokens"
                };
                body.insert(name.to_owned(), Value::from(limit));
            }
            if endpoint.is_openai() {
                options = options.with_prompt_cache_key(&request.cache_key);
            }
        }
        ProviderKind::Anthropic => {
            let known = request.model.starts_with("claude");
            let limit = request.max_output_tokens.or((!known).then_some(MAX_OUTPUT_TOKENS));
            if let Some(limit) = limit {
                effort = fitting(request.thought, limit);
                options = options.with_max_tokens(limit);
            }
            // Newer models show their thinking only where this asks for it.
            options = options.with_capture_reasoning_content(effort.is_some());
        }
    }
    if let Some(effort) = effort {
        options = options.with_reasoning_effort(effort);
    }
    options.with_extra_body(Value::Object(body))
}

/// The most thinking up to `level` whose budget, a part of the limit, leaves a quarter of it for the
/// reply.
fn fitting(level: ThoughtLevel, limit: u32) -> Option<ReasoningEffort> {
    let fits = |budget: u32| budget <= limit / 4 * 3;
    let levels = match level {
        ThoughtLevel::Auto => 0,
        ThoughtLevel::Low => 1,
        ThoughtLevel::Medium => 2,
        ThoughtLevel::High => 3,
    };
    // The budgets are those that `genai` gives to the levels.
    let budgets = [
        (1_024, ReasoningEffort::Low),
        (8_000, ReasoningEffort::Medium),
        (24_000, ReasoningEffort::High),
    ];
    budgets
        .into_iter()
        .take(levels)
        .rev()
        .find_map(|(budget, effort)| fits(budget).then_some(effort))
}

/// Models of `api.openai.com` that take `max_completion_tokens` alone.
fn is_reasoner(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|prefix| name.starts_with(prefix))
}

fn chat(kind: ProviderKind, request: &Request) -> ChatRequest {
    let mut messages = Messages { kind, list: Vec::new() };
    if !request.system.is_empty() {
        messages.list.push(ChatMessage::system(request.system.as_str()));
    }
    for item in &request.items {
        match item {
            Item::User(content) => messages.user(parts(content)),
            Item::Assistant { thoughts, text, calls } => messages.assistant(thoughts, text, calls),
            Item::Outcomes(outcomes) => messages.outcomes(outcomes),
        }
    }
    let Messages { mut list, .. } = messages;
    if kind == ProviderKind::Anthropic {
        // Two marks: what all requests of a session share, and what the next one will share.
        let newest = list.len().saturating_sub(1);
        for (at, message) in list.iter_mut().enumerate() {
            if at == newest || message.role == ChatRole::System {
                message.options = Some(CacheControl::Ephemeral.into());
            }
        }
    }
    let chat = ChatRequest::new(list);
    if request.tools.is_empty() { chat } else { chat.with_tools(request.tools.iter().map(tool)) }
}

fn tool(spec: &ToolSpec) -> Tool {
    Tool::new(ToolName::Custom(spec.name.clone()))
        .with_description(spec.description.as_str())
        .with_schema(spec.schema.clone())
}

struct Messages {
    kind: ProviderKind,
    list: Vec<ChatMessage>,
}

impl Messages {
    /// Adds to the last message if that is the user's, too: no two of them follow each other.
    fn user(&mut self, parts: Vec<ContentPart>) {
        if parts.is_empty() {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.role == ChatRole::User => last.content.extend(parts),
            _ => self.list.push(ChatMessage::user(MessageContent::from_parts(parts))),
        }
    }

    fn assistant(&mut self, thoughts: &[Thought], text: &str, calls: &[Call]) {
        let mut parts: Vec<ContentPart> = match self.kind {
            ProviderKind::Anthropic => thoughts.iter().flat_map(signed).collect(),
            // Those that gave it as `reasoning_content` want it back beside the calls it led to.
            ProviderKind::Openai if !calls.is_empty() => {
                thoughts.iter().filter_map(plain).collect()
            }
            ProviderKind::Openai => Vec::new(),
        };
        if !text.trim().is_empty() {
            parts.push(ContentPart::Text(text.to_owned()));
        }
        parts.extend(calls.iter().map(|call| {
            ContentPart::ToolCall(ToolCall {
                call_id: call.id.to_string(),
                fn_name: call.tool.clone(),
                fn_arguments: arguments(&call.input),
                thought_signatures: None,
            })
        }));
        let says_something = parts
            .iter()
            .any(|part| matches!(part, ContentPart::Text(_) | ContentPart::ToolCall(_)));
        if says_something {
            self.list.push(ChatMessage::assistant(MessageContent::from_parts(parts)));
        }
    }

    fn outcomes(&mut self, outcomes: &[(Call, Outcome)]) {
        let responses: Vec<ContentPart> = outcomes
            .iter()
            .map(|(call, outcome)| {
                let text = outcome.text();
                let text = if text.is_empty() { "(no output)".to_owned() } else { text };
                ContentPart::ToolResponse(ToolResponse::new(call.id.as_str(), text))
            })
            .collect();
        match self.kind {
            // There they are a part of the user's message.
            ProviderKind::Anthropic => self.user(responses),
            ProviderKind::Openai => {
                self.list.push(ChatMessage::tool(MessageContent::from_parts(responses)));
            }
        }
        for (call, outcome) in outcomes {
            let Outcome::Done { content } = outcome else { continue };
            let images: Vec<ContentPart> = content.iter().filter_map(image).collect();
            if !images.is_empty() {
                let label =
                    ContentPart::Text(format!("From the call {} of `{}`:", call.id, call.tool));
                self.user(std::iter::once(label).chain(images).collect());
            }
        }
    }
}

/// What a user gave, texts next to each other joined.
fn parts(content: &[Content]) -> Vec<ContentPart> {
    let mut parts: Vec<ContentPart> = Vec::new();
    for content in content {
        let text = match content {
            Content::Image { .. } => {
                parts.extend(image(content));
                continue;
            }
            Content::Text { text } => text.clone(),
            Content::Link { uri, name } => format!("[{name}]({uri})"),
            Content::Resource { uri, text } => {
                format!("<resource uri=\"{uri}\">\n{text}\n</resource>")
            }
        };
        match parts.last_mut() {
            Some(ContentPart::Text(before)) => {
                let apart =
                    before.ends_with(char::is_whitespace) || text.starts_with(char::is_whitespace);
                if !apart {
                    before.push('\n');
                }
                before.push_str(&text);
            }
            _ if text.is_empty() => {}
            _ => parts.push(ContentPart::Text(text)),
        }
    }
    parts
}

fn image(content: &Content) -> Option<ContentPart> {
    match content {
        Content::Image { mime, data } => {
            Some(ContentPart::from_binary_base64(mime.as_str(), data.as_str(), None))
        }
        Content::Text { .. } | Content::Link { .. } | Content::Resource { .. } => None,
    }
}

/// A thought with its proof. Without one the provider would refuse it.
fn signed(thought: &Thought) -> Vec<ContentPart> {
    let Some(signature) = &thought.signature else { return Vec::new() };
    if let Some(data) = signature.strip_prefix(REDACTED) {
        let data = json!({"type": "redacted_thinking", "data": data});
        return vec![ContentPart::Custom(CustomPart { model_iden: None, data })];
    }
    vec![
        ContentPart::ThoughtSignature(signature.clone()),
        ContentPart::ReasoningContent(thought.text.clone()),
    ]
}

fn plain(thought: &Thought) -> Option<ContentPart> {
    thought.signature.is_none().then(|| ContentPart::ReasoningContent(thought.text.clone()))
}

/// Both dialects demand an object, also for a call whose input was none.
fn arguments(input: &Value) -> Value {
    match input {
        Value::Object(_) => input.clone(),
        Value::Null => json!({}),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            json!({"input": input})
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Secret;

    #[test]
    fn the_cache_key_is_for_one_server_alone() {
        let request = Request {
            model: "gpt-5.1".to_owned(),
            thought: ThoughtLevel::Auto,
            system: String::new(),
            tools: Arc::from([]),
            items: Vec::new(),
            max_output_tokens: None,
            cache_key: "session".to_owned(),
        };
        let key = |endpoint: &Endpoint| options(endpoint, &request).prompt_cache_key;
        let official = Endpoint::official(ProviderKind::Openai, [Secret::new("k")]);
        assert_eq!(key(&official).as_deref(), Some("session"));
        for address in ["http://127.0.0.1:1", "https://api.openai.com.example/v1"] {
            let other = Endpoint::at(ProviderKind::Openai, address, None).unwrap();
            assert_eq!(key(&other), None, "{address}");
        }
    }
}
