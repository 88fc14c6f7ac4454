//! Who a request turns out to be, and what acts for them.

use serde::{Deserialize, Serialize};

/// Somebody we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// On whose behalf.
    pub who: Who,
    /// What they may do, where somebody keeps roles. Agents have none.
    pub role: Option<Role>,
    /// What acts.
    pub actor: Actor,
}

/// On whose behalf a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user's.
    User {
        /// 1–128 visible ASCII characters.
        id: String,
    },
    /// An agent's own.
    Agent {
        /// 1–128 visible ASCII characters.
        id: String,
    },
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What anybody may who is signed in.
    User,
    /// Everything.
    Admin,
}

/// What acts: a browser's session, or a token of some kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in browser.
    Session {
        /// 1–128 visible ASCII characters.
        id: String,
    },
    /// A token.
    Token {
        /// The token's id, which is not the token.
        id: String,
        /// What people call it.
        name: String,
        /// What it is the credential of.
        source: ActorSource,
        /// The agent it was made for.
        agent: Option<String>,
        /// The task it was made for.
        task: Option<String>,
    },
}

/// What presents a token. Everything but [`ActorSource::Human`] is a machine.
///
/// There is no wildcard in any match on this: whoever adds a source decides in [`ActorSource::is_machine`]
/// what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorSource {
    /// A personal access token: its owner, by other means.
    Human,
    /// An agent's own token.
    AgentToken,
    /// A token that acts for a user within one task.
    TaskToken,
    /// A cloud node's token, acting for a user.
    CloudPat,
    /// A source that the operator named.
    Other(String),
}

impl ActorSource {
    /// Reads a name as configuration has it; `None` is a human's.
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

    /// Gives the name that upstream is told; a human has none.
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

    /// Tells whether a machine acts.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        match self {
            Self::Human => false,
            Self::AgentToken | Self::TaskToken | Self::CloudPat | Self::Other(_) => true,
        }
    }
}

impl Principal {
    /// Names the kind, as upstream and logs are told.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.who {
            Who::User { .. } => "user",
            Who::Agent { .. } => "agent",
        }
    }

    /// Gives the id of whoever it is.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.who {
            Who::User { id } | Who::Agent { id } => id,
        }
    }

    /// Gives the user's id, where it is one.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        match &self.who {
            Who::User { id } => Some(id),
            Who::Agent { .. } => None,
        }
    }

    /// Gives the session's id, where a session acts.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        match &self.actor {
            Actor::Session { id } => Some(id),
            Actor::Token { .. } => None,
        }
    }

    /// Tells whether a person acts, for themselves.
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
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// Reads a name.
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
    fn sources() {
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
