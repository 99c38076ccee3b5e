//! How grave an event is, and how that is called.

/// How grave an event is: the names and numbers of OpenTelemetry's log data model.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Worth knowing.
    Info = 9,
    /// Something failed; whoever asked was told and may have coped.
    Warn = 13,
    /// Something failed that rarely can be coped with.
    Error = 17,
    /// A process or the host did not survive it.
    Fatal = 21,
    /// The same, and it concerns the whole host; no rule can ask for it.
    Fatal2 = 22,
}

impl Severity {
    /// The severities that a rule can ask for, the least grave first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// `SeverityNumber`.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// `SeverityText`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal | Self::Fatal2 => "FATAL",
        }
    }

    /// The severity of that `SeverityText`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.text() == text)
    }
}
