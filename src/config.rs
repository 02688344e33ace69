//! Configuration: layers of `config.yaml`, environment and flags, resolved once into typed sections.
//! It reads files and the environment at start-up only; a session works on its own copy.

mod layers;
mod schema;
mod sections;

pub use layers::{Environment, Folders, Proxies, Resolved, Warning, load, own_temporary};
pub use schema::{config_json_schema, config_markdown};
pub use sections::{
    Busy, CancelWithTurn, Config, DelegationSection, Delivery, FollowUp, FollowUpMode, LogSection,
    ModelSection, PermissionsSection, Price, ProviderKind, Resume, Secret, SessionSection,
    TasksSection, ToolsSection, TurnSection,
};

#[cfg(test)]
mod tests;
