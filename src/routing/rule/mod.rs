//! Rules: what the gateway requires of requests to a path.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | `Rule` and its members |
//! | `pattern.rs` | parses path patterns |
//! | `table.rs` | the route table: the only matcher; `table/` has its parts, such as all readings of a path |
//! | `demands.rs` | compares the requirements of two rules |

mod demands;
pub mod pattern;
mod table;

use std::time::Duration;

pub use demands::Names;
pub use table::{RuleError, RuleMatch, Table};

use crate::{
    platform::step::Step,
    routing::{built_in::BuiltInRoute, owner::OwnerFrom, report::ReportedSteps},
};

/// An entry of the route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Path pattern, as written in the configuration.
    pub path: String,
    /// Methods that the rule accepts. Empty: any method.
    pub methods: Vec<String>,
    /// Stable name of the operation, for upstream and the log.
    pub operation: Option<String>,
    /// Principals that may use the rule.
    pub access: Access,
    /// Maximum time since the user authenticated. Tokens never pass.
    pub recent: Option<Duration>,
    /// Time between two checks of the client of an open stream.
    pub stream_check: Option<Duration>,
    /// Response to a navigation without a valid credential.
    pub unauthenticated: Unauthenticated,
    /// Path at which the gateway asks upstream for the owner.
    pub owner_from: Option<OwnerFrom>,
    /// Check for cross-site requests.
    pub csrf: Csrf,
    /// Time limit for upstream's response headers.
    pub timeout: Duration,
    /// Redirects of upstream that the gateway lets through.
    pub redirects: Redirects,
    /// Field of the query and the body that holds upstream's redirect target.
    pub return_field: Option<&'static str>,
    /// Whether upstream's response may sign a user in.
    pub login: bool,
    /// Checkout that upstream begins under this rule.
    pub checkout: Option<Checkout>,
    /// Webhook that the rule receives: its index in the configuration's list.
    pub webhook: Option<usize>,
    /// Rate limit of the rule: its index in the configuration's list.
    pub limit: Option<usize>,
    /// Handling of requests that are sent again under one key.
    pub idempotency: Option<Idempotency>,
    /// Maximum body size in bytes, where the gateway reads the whole body.
    pub body_limit: usize,
    /// Action for which the client must have solved a bot check.
    pub bot_check: Option<String>,
    /// Feature gate that must be open.
    pub feature: Option<String>,
    /// Name that the gateway sends to the external policy.
    pub policy: Option<String>,
    /// Whether a person must approve what a machine does.
    pub confirm: Confirm,
    /// Whether requests are recorded in the audit trail.
    pub audit: Audit,
    /// Steps whose refusals are only reported. [`Rule::reported_steps`] says which of them count.
    pub reports: ReportedSteps,
    /// Whether a path may contain `%2F` and escaped escapes, as text of a segment.
    pub encoded_slashes: bool,
    /// Entry in the catalogue for agents, if the rule is listed there.
    pub catalogue: Option<Listed>,
    /// Where the request goes.
    pub destination: Destination,
}

/// Whether a person must approve what a machine does. A stricter value is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirm {
    /// No approval.
    Never,
    /// A person must approve: for a user's machine, that user.
    Human,
}

/// Whether requests are recorded in the audit trail. A stricter value is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audit {
    /// No record.
    Off,
    /// A record after the response. A write that fails is logged.
    BestEffort,
    /// A record before the request runs, too. If that write fails, the request does not run.
    Required,
}

/// Catalogue entry of a rule: information for agents in addition to its requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Description of the operation, in one line.
    pub summary: Option<String>,
    /// URL or path of the schema for its requests.
    pub schema: Option<String>,
}

impl Rule {
    /// Creates a rule that has no requirement other than `access`.
    #[must_use]
    pub fn new(path: &str, access: Access, destination: Destination) -> Self {
        Self {
            path: path.to_owned(),
            methods: Vec::new(),
            operation: None,
            access,
            recent: None,
            stream_check: None,
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
            reports: ReportedSteps::NONE,
            encoded_slashes: false,
            catalogue: None,
            login: false,
            checkout: None,
            webhook: None,
            destination,
        }
    }

    /// Returns the operation, or the pattern if the rule has no operation.
    #[must_use]
    pub fn operation_or_path(&self) -> &str {
        self.operation.as_deref().unwrap_or(&self.path)
    }

    /// Returns the steps whose refusals are only reported. Only rules for upstream report: built-in routes, pages and
    /// webhooks always refuse.
    #[must_use]
    pub fn reported_steps(&self) -> ReportedSteps {
        let may_report = self.destination == Destination::Upstream && self.webhook.is_none();
        if may_report { self.reports } else { ReportedSteps::NONE }
    }

    /// Returns the steps of the guards that this rule does not have.
    #[must_use]
    fn absent_guards(&self) -> ReportedSteps {
        let guards = [
            (self.limit.is_none(), ReportedSteps::LIMIT),
            (self.return_field.is_none(), ReportedSteps::of(&[Step::ReturnField])),
            (self.bot_check.is_none(), ReportedSteps::of(&[Step::BotCheck])),
            (self.feature.is_none(), ReportedSteps::of(&[Step::Feature])),
            (self.policy.is_none(), ReportedSteps::of(&[Step::Policy])),
            (self.confirm == Confirm::Never, ReportedSteps::of(&[Step::Confirmation])),
        ];
        let absent = guards.into_iter().filter(|(is_absent, _)| *is_absent);
        absent.fold(ReportedSteps::NONE, |all, (_, steps)| all.or(steps))
    }
}

/// Principals that may use a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone. The gateway looks up no principal and sends no identity headers.
    Public,
    /// Everyone. A known principal is sent to upstream in identity headers.
    Optional,
    /// Any principal.
    Authenticated,
    /// Any principal that is a user.
    User,
    /// A user in person, without a machine's credential.
    Human,
    /// An agent, with its own token.
    Agent,
    /// A user who is an admin, also through a machine.
    Admin,
    /// An admin in person. For changes that would outlast the machine that made them.
    AdminInPerson,
    /// A user in person. An agent is of another kind, and a user's machine is not a person.
    UserInPerson,
    /// The owner of the requested entity, or an admin.
    Owner,
}

impl Access {
    /// Returns true if `other` admits every principal that `self` admits.
    #[must_use]
    pub fn is_subset_of(self, other: Self) -> bool {
        match other {
            Self::Public | Self::Optional => true,
            Self::Authenticated => self.requires_principal(),
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

    /// Returns true if the request needs a principal.
    #[must_use]
    pub fn requires_principal(self) -> bool {
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

/// Response to a navigation without a valid credential. This does not change who gets access: requests that
/// are not navigations always get 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Redirects to the login page. A navigation inside another page (such as an `iframe`) gets 401.
    Standard,
    /// Redirects to the login page, also inside another page.
    Redirect,
    /// Always 401.
    Refuse,
}

/// Check for cross-site requests. A stricter value is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Csrf {
    /// No check. The operator confirms that upstream checks a proof of its own.
    InsecureSkip,
    /// Checks fetch metadata and `Origin`. A client that sends neither passes.
    Standard,
    /// Like `Standard`, but a client that sends neither must not use the session cookie.
    Strict,
}

/// Redirects of upstream that the gateway lets through. A stricter value is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redirects {
    /// All redirects. One that names upstream itself is rewritten to the public origin.
    Standard,
    /// Return paths of this site and configured origins. Any other target is replaced by the home page.
    Strict,
}

/// Handling of requests that are sent again under the same idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whether a request must have a key.
    pub required: bool,
    /// Whether `Invocation-ID` is the key if `Idempotency-Key` is missing.
    pub invocation_id: bool,
    /// JSON pointer to the key in a JSON body. It applies if both headers are missing.
    pub invocation_pointer: Option<&'static str>,
    /// Responses that are stored.
    pub save: Save,
    /// Action of the gateway while the outcome of a request is unknown.
    pub hold: Hold,
    /// How long a response is stored, and an unknown outcome held.
    pub retention: Duration,
}

/// Settings of a checkout that upstream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Name of the webhook that confirms the checkout.
    pub provider: String,
    /// JSON pointer to the checkout's reference in upstream's response.
    pub reference: String,
    /// How long the checkout stays reserved.
    pub reserve: Duration,
}

/// Responses of upstream that are stored. Any other response releases the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// Successes, redirects, and refusals that would repeat: not 5xx, 401, 403, 408, 409, 425 or 429.
    Safe,
    /// All responses, also 5xx.
    Stripe,
    /// Successes and redirects.
    Success,
}

/// Action of the gateway while the outcome of a request is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Refuses the request until an operator resolves the outcome or the retention ends.
    Conflict,
    /// Runs the request again.
    Retry,
    /// Sends the request again with `X-Idempotency-Recovery: 1`, so that upstream can check whether it ran.
    Ask,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Upstream, the application behind the gateway.
    Upstream,
    /// An endpoint of the gateway.
    Endpoint(&'static BuiltInRoute),
    /// The pages of Vestibule: static files of the assets binding.
    Pages,
    /// The path of an endpoint or page, with another method. Holds the value of `Allow`.
    WrongMethod(&'static str),
    /// A path of upstream that only the gateway calls. A client gets 404.
    InternalOnly,
}

/// Checks for the name of an operation: up to 64 bytes of a-z, 0-9 and `_`, in segments between dots.
#[must_use]
pub fn is_operation(text: &str) -> bool {
    let is_valid_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= 64 && text.split('.').all(is_valid_part)
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes. The same value as in the configuration schema.
const DEFAULT_BODY_LIMIT: usize = 1_048_576;
