//! The principal of a request, and the actor that sends the request for it.

use serde::{Deserialize, Serialize};

/// The user or the agent for whom a request is made, and the actor that sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user or the agent.
    pub who: Who,
    /// The user's role, if the deployment has roles. Agents have no role.
    pub role: Option<Role>,
    /// The session or the token that the request came with.
    pub actor: Actor,
}

/// The user or the agent for whom a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user.
    User {
        /// The id: 1–128 visible ASCII characters.
        id: String,
    },
    /// An agent that acts for itself.
    Agent {
        /// The id: 1–128 visible ASCII characters.
        id: String,
    },
}

/// The role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do what every signed-in user may do.
    User,
    /// May do everything.
    Admin,
}

/// The actor of a request: a browser's session or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A session of a signed-in browser.
    Session {
        /// The id: 1–128 visible ASCII characters.
        id: String,
    },
    /// A token.
    Token {
        /// The token's id (not the token itself).
        id: String,
        /// The token's display name.
        name: String,
        /// The kind of actor that uses the token.
        source: ActorSource,
        /// The agent that the token was created for.
        agent: Option<String>,
        /// The task that the token was created for.
        task: Option<String>,
    },
}

/// The kind of actor that presents a token. Every source except [`ActorSource::Human`] is a machine.
///
/// No match on this type has a wildcard, so a new source does not compile until [`ActorSource::is_machine`] says
/// whether it is a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorSource {
    /// A personal access token: its owner acts.
    Human,
    /// An agent's own token.
    AgentToken,
    /// A token that acts for a user within one task.
    TaskToken,
    /// A cloud node's token, acting for a user.
    CloudPat,
    /// A source that the operator has configured.
    Other(String),
}

impl ActorSource {
    /// Parses a source as named in the configuration. `None` stands for a human.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name {
            None => Self::Human,
            Some("agent_token") => Self::AgentToken,
            Some("task_token") => Self::TaskToken,
            Some("cloud_pat") => Self::CloudPat,
            Some(name) => Self::Other(name.to_owned()),
        }
    }

    /// Returns the name that is sent to upstream. A human has no name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Human => None,
            Self::AgentToken => Some("agent_token"),
            Self::TaskToken => Some("task_token"),
            Self::CloudPat => Some("cloud_pat"),
            Self::Other(name) => Some(name),
        }
    }

    /// Checks whether the actor is a machine.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        match self {
            Self::Human => false,
            Self::AgentToken | Self::TaskToken | Self::CloudPat | Self::Other(_) => true,
        }
    }
}

impl Principal {
    /// Returns the kind for upstream and for logs: `user` or `agent`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.who {
            Who::User { .. } => "user",
            Who::Agent { .. } => "agent",
        }
    }

    /// Returns the id of the user or the agent.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.who {
            Who::User { id } | Who::Agent { id } => id,
        }
    }

    /// Returns the user's id, if the principal is a user.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        match &self.who {
            Who::User { id } => Some(id),
            Who::Agent { .. } => None,
        }
    }

    /// Returns the session's id, if the actor is a session.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        match &self.actor {
            Actor::Session { id } => Some(id),
            Actor::Token { .. } => None,
        }
    }

    /// Checks whether a user acts in person: with a session or a personal access token.
    #[must_use]
    pub fn is_human(&self) -> bool {
        match (&self.who, &self.actor) {
            (Who::User { .. }, Actor::Session { .. }) => true,
            (Who::User { .. }, Actor::Token { source, .. }) => !source.is_machine(),
            (Who::Agent { .. }, _) => false,
        }
    }
}

impl Role {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_source_is_a_machine() {
        for (name, machine) in [
            (None, false),
            (Some("agent_token"), true),
            (Some("task_token"), true),
            (Some("cloud_pat"), true),
            (Some("vacuum_cleaner"), true),
        ] {
            let source = ActorSource::named(name);
            assert_eq!((source.name(), source.is_machine()), (name, machine));
        }
    }
}
