//! What a key can be set to where that is one of a few words.
//!
//! In: a word of the file. Out: a variant. To add a word, add a variant; reading, errors and `docs/config.md` follow.

use super::schema::choice;

choice! {
    /// How much the daemon says.
    pub enum LogLevel("a log level") {
        /// Everything.
        Trace = "trace",
        /// What helps to find a mistake.
        Debug = "debug",
        /// What an operator wants to know.
        Info = "info",
        /// What may need a hand.
        Warn = "warn",
        /// What is lost.
        Error = "error",
    }
}

choice! {
    /// Whether a probe runs.
    pub enum Switch("a switch") {
        /// It runs.
        On = "on",
        /// It does not.
        Off = "off",
        /// A command decides.
        Auto = "auto",
    }
}

choice! {
    /// Whether something is captured.
    pub enum OnOff("a switch") {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

choice! {
    /// How the output of a start check is read.
    pub enum CheckType("a type of check") {
        /// The first number in it, above 0 for yes.
        Count = "count",
    }
}

choice! {
    /// When records are written to disk.
    pub enum SpoolMode("a mode of the spool") {
        /// Each, before it is sent.
        Always = "always",
        /// While Kafka does not answer.
        Outage = "outage",
        /// Never.
        Off = "off",
    }
}

choice! {
    /// Where records go.
    pub enum Channel("a channel") {
        /// A topic of Kafka.
        Kafka = "kafka",
        /// Files.
        Logs = "logs",
        /// Standard output.
        Stdout = "stdout",
    }
}

choice! {
    /// The form of a record.
    pub enum Encoding("an encoding that this build writes") {
        /// One JSON document for each record, with the keys of OpenTelemetry's log data model.
        Json = "json",
        /// What gala-gopher's own probes write, for programs that read theirs.
        Gala = "gala",
        /// OTLP/JSON: one `LogsData` with one record.
        OtlpJson = "otlp_json",
        /// OTLP/protobuf: one `LogsData` with one record.
        OtlpProto = "otlp_proto",
        /// One line for people.
        Text = "text",
        /// One short line for people, with the colours of a terminal.
        Color = "color",
    }
}

choice! {
    /// What a rule does.
    pub enum Action("an action") {
        /// The failure becomes a record.
        Report = "report",
        /// It does not.
        Drop = "drop",
    }
}

choice! {
    /// How grave a record is: the names that OpenTelemetry has for it.
    pub enum Severity("a severity") {
        /// Worth knowing.
        Info = "INFO",
        /// Worth a look.
        Warn = "WARN",
        /// Something failed.
        Error = "ERROR",
        /// Something is gone.
        Fatal = "FATAL",
    }
}

choice! {
    /// How a user logs in to Kafka: the names that SASL has for it.
    pub enum SaslMechanism("a SASL mechanism") {
        /// The password itself.
        Plain = "PLAIN",
        /// A proof of the password, with SHA-256.
        ScramSha256 = "SCRAM-SHA-256",
        /// A proof of the password, with SHA-512.
        ScramSha512 = "SCRAM-SHA-512",
    }
}

choice! {
    /// How requests to Kafka are compressed.
    pub enum Compression("a compression codec") {
        /// Not at all.
        None = "none",
        /// gzip.
        Gzip = "gzip",
        /// Snappy.
        Snappy = "snappy",
        /// LZ4.
        Lz4 = "lz4",
        /// Zstandard.
        Zstd = "zstd",
    }
}
