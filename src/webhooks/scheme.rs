//! The signature schemes, by name.

use super::hmac;

/// A provider's signature scheme.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// Standard Webhooks, and Svix, which uses other header names.
    Standard,
    /// Stripe.
    Stripe,
    /// GitHub.
    Github,
    /// Shopify.
    Shopify,
    /// Slack.
    Slack,
    /// Paddle.
    Paddle,
    /// Lemon Squeezy.
    LemonSqueezy,
    /// Twilio.
    Twilio,
    /// Square.
    Square,
    /// HMAC-SHA256, in the format that the configuration describes.
    Hmac(hmac::Policy),
}

impl Scheme {
    /// The schemes that need no description in the configuration.
    pub const PLAIN: &[Self] = &[
        Self::Standard,
        Self::Stripe,
        Self::Github,
        Self::Shopify,
        Self::Slack,
        Self::Paddle,
        Self::LemonSqueezy,
        Self::Twilio,
        Self::Square,
    ];

    /// Returns the scheme's name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Stripe => "stripe",
            Self::Github => "github",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Paddle => "paddle",
            Self::LemonSqueezy => "lemonsqueezy",
            Self::Twilio => "twilio",
            Self::Square => "square",
            Self::Hmac(_) => "hmac",
        }
    }

    /// Returns whether the provider signs a timestamp. If not, a tolerance has no effect.
    #[must_use]
    pub fn signs_timestamp(&self) -> bool {
        match self {
            Self::Standard | Self::Stripe | Self::Slack | Self::Paddle => true,
            Self::Github | Self::Shopify | Self::LemonSqueezy | Self::Twilio | Self::Square => false,
            Self::Hmac(policy) => policy.signs_timestamp(),
        }
    }

    /// Returns the scheme with this name. Returns `None` for `hmac`, which needs a description.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::PLAIN.iter().find(|scheme| scheme.name() == name).cloned()
    }

    /// Returns whether events have a type. If not, the configuration cannot filter by type.
    #[must_use]
    pub fn tells_event_type(&self) -> bool {
        match self {
            Self::Twilio => false,
            Self::Hmac(policy) => policy.signs_event_type(),
            Self::Standard
            | Self::Stripe
            | Self::Github
            | Self::Shopify
            | Self::Slack
            | Self::Paddle
            | Self::LemonSqueezy
            | Self::Square => true,
        }
    }

    /// Returns whether events have a signed type.
    #[must_use]
    pub fn signs_event_type(&self) -> bool {
        match self {
            Self::Github | Self::Shopify => false,
            Self::Hmac(_)
            | Self::Twilio
            | Self::Standard
            | Self::Stripe
            | Self::Slack
            | Self::Paddle
            | Self::LemonSqueezy
            | Self::Square => self.tells_event_type(),
        }
    }

    /// Returns whether the provider sends the same body under several types and does not sign the type.
    #[must_use]
    pub fn repeats_bytes(&self) -> bool {
        match self {
            Self::Shopify => true,
            Self::Hmac(_)
            | Self::Twilio
            | Self::Standard
            | Self::Stripe
            | Self::Github
            | Self::Slack
            | Self::Paddle
            | Self::LemonSqueezy
            | Self::Square => false,
        }
    }

    /// Returns whether events have a signed id. If not, events are deduplicated by their content.
    #[must_use]
    pub fn signs_event_id(&self) -> bool {
        match self {
            Self::Standard | Self::Stripe | Self::Slack | Self::Paddle | Self::Square => true,
            Self::Github | Self::Shopify | Self::LemonSqueezy | Self::Twilio => false,
            Self::Hmac(policy) => policy.signs_event_id(),
        }
    }
}
