//! Settings that no log and no rendered configuration may show. In: text. Out: the same text, to those who
//! ask for it by name.

use std::fmt;

/// What is shown in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// A password. `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself: for the library that logs in with it, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Properties handed to librdkafka as they are, by name. `Debug` hides those that hold a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    /// The value as it may be shown.
    pub(crate) fn shown<'a>(name: &str, value: &'a str) -> &'a str {
        // sasl.password, ssl.key.password, sasl.oauthbearer.client.secret, ssl.key.pem, sasl.jaas.config ...
        let secret = ["password", "secret", "key.pem", "keystore.pem", "jaas", "sasl.oauthbearer.config"];
        if secret.iter().any(|word| name.contains(word)) { HIDDEN } else { value }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, Self::shown(name, value)))).finish()
    }
}
