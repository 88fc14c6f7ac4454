//! Rules: what an operator asks of requests to some path.

mod demands;
mod endpoint;
pub mod pattern;
mod table;

use std::time::Duration;

pub use demands::Names;
pub use endpoint::Endpoint;
pub use table::{Judged, RuleError, Table};

use crate::owner::OwnerFrom;

/// One entry of the route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The pattern, as written.
    pub path: String,
    /// The methods it takes; none is any.
    pub methods: Vec<String>,
    /// The stable name that upstream and logs are told.
    pub operation: Option<String>,
    /// Who may use it.
    pub access: Access,
    /// How a navigation without a valid credential is answered.
    pub unauthenticated: Unauthenticated,
    /// Where upstream is asked whose it is.
    pub owner_from: Option<OwnerFrom>,
    /// Whether cross-site requests are looked for.
    pub csrf: Csrf,
    /// How long upstream may take until its response headers.
    pub timeout: Duration,
    /// Which redirects of upstream's pass.
    pub redirects: Redirects,
    /// The field, of the query and the body, that says where upstream will lead to.
    pub return_field: Option<&'static str>,
    /// Whether upstream's answer may sign a user in.
    pub login: bool,
    /// What it begins, where that is a checkout.
    pub checkout: Option<Checkout>,
    /// The webhook that it receives: its place in the configuration's list.
    pub webhook: Option<usize>,
    /// The limit that it is under: its place in the configuration's list.
    pub limit: Option<usize>,
    /// What becomes of requests that are sent again.
    pub idempotency: Option<Idempotency>,
    /// Bytes of the longest body, where it has to be read whole.
    pub body_limit: usize,
    /// The action that a bot check must have been solved for.
    pub bot_check: Option<String>,
    /// The feature that must be open.
    pub feature: Option<String>,
    /// What the external policy is asked by.
    pub policy: Option<String>,
    /// Whether a person must consent to what a machine does.
    pub confirm: Confirm,
    /// Whether it is written down who did it.
    pub audit: Audit,
    /// Whether `%2F` and escaped escapes pass, and are text of their segment.
    pub encoded_slashes: bool,
    /// What agents are told of it, where they are.
    pub catalogue: Option<Listed>,
    /// Who answers.
    pub destination: Destination,
}

/// Whether a person must consent to what a machine does. What asks for more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirm {
    /// No.
    Never,
    /// The person whose machine it is.
    Human,
}

/// Whether it is written down who did something. What asks for more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audit {
    /// No.
    Off,
    /// After the answer; a write that fails is logged.
    BestEffort,
    /// Before it is run too, or it is not run.
    Required,
}

/// What agents are told of a rule, beside what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What it does, in a line.
    pub summary: Option<String>,
    /// Where the schema of its requests is: a URL or a path.
    pub schema: Option<String>,
}

impl Rule {
    /// Makes a rule that asks for nothing but access.
    #[must_use]
    pub fn new(path: &str, access: Access, destination: Destination) -> Self {
        Self {
            path: path.to_owned(),
            methods: Vec::new(),
            operation: None,
            access,
            unauthenticated: Unauthenticated::Standard,
            owner_from: None,
            csrf: Csrf::Standard,
            timeout: DEFAULT_TIMEOUT,
            redirects: Redirects::Standard,
            return_field: None,
            limit: None,
            idempotency: None,
            body_limit: DEFAULT_BODY_LIMIT,
            bot_check: None,
            feature: None,
            policy: None,
            confirm: Confirm::Never,
            audit: Audit::Off,
            encoded_slashes: false,
            catalogue: None,
            login: false,
            checkout: None,
            webhook: None,
            destination,
        }
    }

    /// Names what is done under it: its operation, or its pattern.
    #[must_use]
    pub fn called(&self) -> &str {
        self.operation.as_deref().unwrap_or(&self.path)
    }
}

/// Who may use a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; nobody is looked up and nothing is stamped.
    Public,
    /// Everybody; who is known is stamped.
    Optional,
    /// Any principal.
    Authenticated,
    /// Any principal that is a user.
    User,
    /// A person, for themselves.
    Human,
    /// An agent, by a token of its own.
    Agent,
    /// A user who is an admin.
    Admin,
    /// An admin, in person: what would outlive the machine that did it.
    AdminInPerson,
    /// A user, in person: an agent is of another kind, a user's machine is no person.
    UserInPerson,
    /// The user whose it is, or an admin.
    Owner,
}

impl Access {
    /// Tells whether whoever this lets in, another one lets in too.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        match other {
            Self::Public | Self::Optional => true,
            Self::Authenticated => self.is_guarded(),
            Self::User => {
                matches!(
                    self,
                    Self::User
                        | Self::Human
                        | Self::Admin
                        | Self::AdminInPerson
                        | Self::UserInPerson
                        | Self::Owner
                )
            }
            Self::Human | Self::UserInPerson => {
                matches!(self, Self::Human | Self::UserInPerson | Self::AdminInPerson)
            }
            Self::Agent => self == Self::Agent,
            Self::Admin => matches!(self, Self::Admin | Self::AdminInPerson),
            Self::AdminInPerson => self == Self::AdminInPerson,
            Self::Owner => matches!(self, Self::Owner | Self::Admin | Self::AdminInPerson),
        }
    }

    /// Tells whether somebody must be known.
    #[must_use]
    pub fn is_guarded(self) -> bool {
        match self {
            Self::Public | Self::Optional => false,
            Self::Authenticated
            | Self::User
            | Self::Human
            | Self::Agent
            | Self::Admin
            | Self::AdminInPerson
            | Self::UserInPerson
            | Self::Owner => true,
        }
    }
}

/// How a navigation without a valid credential is answered. It changes no access: requests other than
/// navigations get 401 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// It is redirected to the login page, unless its answer is shown within another page: that gets 401.
    Standard,
    /// It is redirected, within another page too.
    Redirect,
    /// It gets 401.
    Refuse,
}

/// How cross-site requests are met. What asks for more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Csrf {
    /// Not at all. What protects instead is the operator's word: upstream checks a proof of its own.
    InsecureSkip,
    /// Fetch metadata and `Origin` decide; a client that sends neither passes.
    Standard,
    /// As standard, but a client that sends neither must not use a cookie.
    Strict,
}

/// Which redirects of upstream's pass. What asks for more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redirects {
    /// All; one that names upstream itself is rewritten to the public origin.
    Standard,
    /// Return paths of this site and configured origins; anything else leads home.
    Strict,
}

/// What becomes of a request that is sent again under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whether there must be a key.
    pub required: bool,
    /// Whether `Invocation-ID` serves where there is no `Idempotency-Key`.
    pub invocation_id: bool,
    /// Where in a JSON body the key is that serves where neither is there: a JSON pointer.
    pub invocation_pointer: Option<&'static str>,
    /// Which answers are kept.
    pub save: Save,
    /// What is done where it is not known whether a request ran.
    pub hold: Hold,
    /// For how long an answer is kept, and an unknown outcome held.
    pub retention: Duration,
}

/// A checkout that upstream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The webhook that confirms it.
    pub provider: String,
    /// Where in upstream's answer its ref is: a JSON pointer.
    pub reference: String,
    /// For how long it is reserved.
    pub reserve: Duration,
}

/// Which answers of upstream's are kept; any other one frees the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// Successes, redirects, and refusals that would be the same again: no 5xx, 401, 403, 408, 409, 425, 429.
    Safe,
    /// All, 5xx too.
    Stripe,
    /// Successes and redirects.
    Success,
}

/// What is done where it is not known whether a request ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing, until an operator says what happened or the retention is over.
    Conflict,
    /// It is run again.
    Retry,
    /// It is sent again, marked as a question: `X-Idempotency-Recovery: 1`.
    Ask,
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The application behind us.
    Upstream,
    /// An endpoint of our own.
    Endpoint(Endpoint),
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// As the schema has it.
const DEFAULT_BODY_LIMIT: usize = 1_048_576;
