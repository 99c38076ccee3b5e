//! The configuration. In: `gala-gopher.conf`, in TOML or libconfig, and the command line's `--set`. Out: the
//! settings as plain structs, or every error at once.
//!
//! A section is declared once, here: its fields with what they mean, their defaults and what they accept.
//! Reading, showing and `docs/config.md` follow from that declaration. To add a key, add a field.

mod check;
mod choice;
mod docs;
mod error;
mod kind;
mod libconfig;
mod logs;
mod overrides;
mod probes;
mod read;
mod schema;
mod secret;
mod spool;
mod syntax;
#[cfg(test)]
mod tests;
mod toml;
mod tree;

pub use choice::{
    Action, Channel, CheckType, Compression, Encoding, LogLevel, OnOff, SaslMechanism, Severity, SpoolMode,
    Switch,
};
pub use docs::docs;
pub use error::{ConfigError, ConfigErrors, Spanned};
pub use kind::Sockets;
pub use logs::{EventIds, Logs, Stdout, event_ids};
pub use secret::{Properties, Secret};
pub use spool::Spool;

use error::Place;
use kind::{
    AbsolutePath, AnyOf, AnyProperty, Maybe, Names, Nested, Numbers, Password, Seconds, Sections, Text,
    Whole, one_of,
};
use probe_common::SLEEPER_NAMES_LEN;
use read::Reader;
use schema::{Section, section};
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;
use syntax::Syntax;
use tree::{Lines, Table};

/// More than any real file has; it keeps a wrong path, such as a device, from filling the memory.
const MAX_BYTES: u64 = 1 << 20;

/// Sections of gala-gopher's file that other probes read.
const FOREIGN_SECTIONS: [&str; 8] =
    ["metric", "meta", "ingress", "egress", "imdb", "web_server", "rest_api_server", "extend_probes"];

/// Where gala-gopher's own probes write, and programs that read theirs look.
const GALA_TOPIC: &str = "gala_gopher_event";

section! {
    /// The whole configuration.
    pub struct Config {
        /// What concerns the daemon as a whole.
        pub global: Global = Global::default(), Nested::<Global>(PhantomData);
        /// The stanza of this probe in the list of probes.
        pub probe as "probes": Probe = Probe::default(), probes::Probes;
        /// Which events there are and where they go.
        pub event: Event = Event::default(), Nested::<Event>(PhantomData);
        /// How records learn what a container is called.
        pub containers: Containers = Containers::default(), Nested::<Containers>(PhantomData);
        /// How Kafka is reached.
        pub kafka: Kafka = Kafka::default(), Nested::<Kafka>(PhantomData);
        /// Where records wait for Kafka.
        pub spool: Spool = Spool::default(), Nested::<Spool>(PhantomData);
        /// Where the channel "logs" writes.
        pub logs: Logs = Logs::default(), Nested::<Logs>(PhantomData);
        /// What the channel "stdout" writes.
        pub stdout: Stdout = Stdout::default(), Nested::<Stdout>(PhantomData);
    }
    others FOREIGN_SECTIONS;
    check needs_probes;
    also {
        /// Keys and sections of the file that belong to other probes, to be named once in the log.
        pub foreign: Vec<String>;
        /// What is taken otherwise than it was written, to be said in the log.
        pub warnings: Vec<String>;
    }
}

section! {
    /// The daemon as a whole.
    pub struct Global {
        /// What the daemon writes to its own log (standard error), and everything graver.
        pub log_level: LogLevel = LogLevel::Info, one_of::<LogLevel>();
    }
    others ["log_file_name", "log_directory", "pin_path", "egress", "rest_api_on"];
}

section! {
    /// One entry for each probe; the one named `event` is this daemon and must be there.
    pub struct Probe {
        /// `"event"` for this probe; probes with other names are left alone.
        pub name: String = probes::OURS.to_owned(), Text { what: "text", check: check::not_empty };
        /// `"on"` captures, `"off"` does nothing. `"auto"` captures when `start_check` prints a number above 0, or
        /// when there is no `start_check`.
        pub switch: Switch = Switch::Off, one_of::<Switch>();
        /// How long repeats of a failure are counted into one record, and how often what is left is swept up.
        pub interval: Duration = Duration::from_secs(5), Seconds(1..=3600);
        /// Shell command that decides for `switch = "auto"`.
        pub start_check: Option<String> = None, Maybe(Text { what: "shell command", check: check::not_empty });
        /// How the output of `start_check` is read: `"count"` takes the first number of it.
        pub check_type: CheckType = CheckType::Count, one_of::<CheckType>();
    }
    others ["command", "param"];
}

section! {
    /// Which events there are, and where they go.
    pub struct Event {
        /// Where records go: Kafka, files under `logs.event_dir`, or standard output.
        pub out_channel: Vec<Channel> = vec![Channel::Kafka], AnyOf::<Channel>(PhantomData);
        /// The topic that records are written to; left out: `gala-gopher-event`, and with the encoding `"gala"` the
        /// `gala_gopher_event` of gala-gopher's own probes.
        pub kafka_topic: String = "gala-gopher-event".to_owned(),
            Text { what: "1 to 249 of letters, digits, `.`, `_`, `-`", check: check::topic };
        /// How far the window in which repeats of a failure are counted into one record may grow; 0 never lets it
        /// grow beyond the probe's `interval`.
        pub timeout: Duration = Duration::from_secs(600), Seconds(0..=86400);
        /// Whether repeats of a failure are counted into one record. Off gives a record for each, which a flood fills
        /// disks and networks with.
        pub fold: OnOff = OnOff::On, one_of::<OnOff>();
        /// Room for failures that repeat: a third of this number in each of the probe's intervals, each a process, call
        /// and error. What finds no room goes out unfolded. Each takes about 240 bytes of kernel memory.
        pub fold_entries: u64 = 16_384, Whole(1..=1_048_576);
        /// Whether records carry the command line of the process, where it is still there. It may hold passwords.
        pub command_line: OnOff = OnOff::Off, one_of::<OnOff>();
        /// Whether records carry the addresses of the host (`host.ip`), but for those of the loopback and of single links.
        pub host_ip: OnOff = OnOff::Off, one_of::<OnOff>();
        /// Whether what runs in the kernel outlives a daemon that is killed: the next one goes on with it. A daemon that
        /// is stopped by SIGTERM or SIGINT takes it down.
        pub pin: OnOff = OnOff::On, one_of::<OnOff>();
        /// Where it is kept: a directory, made where it is missing, of a BPF file system (`mount -t bpf`), without a dot
        /// in its path. Stop the daemon before this is changed: it does not look elsewhere for what an earlier one left.
        pub pin_dir: PathBuf = PathBuf::from("/sys/fs/bpf/gala-gopher-event"), AbsolutePath;
        /// The form of a record, in every channel that does not say otherwise.
        pub encoding: Encoding = Encoding::Json, one_of::<Encoding>();
        /// A file that changes or adds to what records say of events: severity, meaning, cause, solution; `events.md`
        /// tells how. Left out: what is built in.
        pub catalogue: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Folder of what outlives a restart of the daemon: the number of the next record, losses that it could not tell of,
        /// and the spool.
        pub state_dir: PathBuf = PathBuf::from("/var/lib/gala-gopher/event"), AbsolutePath;
        /// Failed system calls.
        pub syscall: SyscallEvents = SyscallEvents::default(), Nested::<SyscallEvents>(PhantomData);
        /// Programs that could not be executed.
        pub exec: Family = Family::default(), Nested::<Family>(PhantomData);
        /// Calls that were not permitted.
        pub denial: Family = Family::default(), Nested::<Family>(PhantomData);
        /// io_uring requests that ended with an error; the rules of `event.syscall` are theirs too.
        pub io_uring: Family = Family::default(), Nested::<Family>(PhantomData);
        /// Processes that the kernel kills for memory.
        pub oom: RuledFamily = RuledFamily::default(), Nested::<RuledFamily>(PhantomData);
        /// Threads that are kept off the CPU.
        pub offcpu: OffcpuEvents = OffcpuEvents::default(), Nested::<OffcpuEvents>(PhantomData);
        /// Processes that ended by a signal or with a non-zero exit code.
        pub exit: ExitEvents = ExitEvents::default(), Nested::<ExitEvents>(PhantomData);
    }
    others ["desc_language"];
}

section! {
    /// A family of events.
    pub struct Family {
        /// Whether it is captured.
        pub switch: OnOff = OnOff::On, one_of::<OnOff>();
    }
}

section! {
    /// A family of events with rules of its own.
    pub struct RuledFamily {
        /// Whether it is captured.
        pub switch: OnOff = OnOff::On, one_of::<OnOff>();
        /// The first rule that matches decides; what no rule is about is reported.
        pub rules: Vec<FamilyRule> = Vec::new(), Sections::<FamilyRule>(PhantomData);
    }
}

section! {
    /// What to do with the events of some processes; the first rule that matches decides.
    pub struct FamilyRule {
        /// Names of threads the rule is about, `*` for any characters; left out: all of them.
        pub comms: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"nginx\", \"kworker/*\"]`");
        /// Effective user ids the rule is about; left out: all of them.
        pub uids: Vec<u64> = Vec::new(), Numbers(0..=4_294_967_295);
        /// Paths of cgroups the rule is about, `*` for any characters; left out: all of them.
        pub cgroups: Vec<Spanned<String>> = Vec::new(), Names("paths such as `[\"/system.slice/*\"]`");
        /// Whether such an event becomes a record.
        pub action: Action = Action::Report, one_of::<Action>();
        /// Severity of the record, where it is not to be the built-in one.
        pub severity: Option<Severity> = None, Maybe(one_of::<Severity>());
    }
}

section! {
    /// Processes that ended by a signal or with a non-zero exit code.
    pub struct ExitEvents {
        /// Whether they are captured. An end by seccomp is one, too, though its record is a denial's.
        pub switch: OnOff = OnOff::On, one_of::<OnOff>();
        /// Rules over the built-in table, which drops what programs such as `grep` answer by their exit code.
        pub rules: Vec<ExitRule> = Vec::new(), Sections::<ExitRule>(PhantomData);
    }
}

section! {
    /// What to do with some ends; the first rule that matches decides, and the built-in table where none does.
    pub struct ExitRule {
        /// Exit codes the rule is about. With neither codes nor signals it is about every end.
        pub codes: Vec<u64> = Vec::new(), Numbers(1..=255);
        /// Signals the rule is about, beside the codes.
        pub signals: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"SIGTERM\", \"SIGRTMIN+1\"]`");
        /// Names of processes the rule is about, `*` for any characters; left out: all of them.
        pub comms: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"nginx\", \"cron*\"]`");
        /// Effective user ids the rule is about; left out: all of them.
        pub uids: Vec<u64> = Vec::new(), Numbers(0..=4_294_967_295);
        /// Paths of cgroups the rule is about, `*` for any characters; left out: all of them.
        pub cgroups: Vec<Spanned<String>> = Vec::new(), Names("paths such as `[\"/system.slice/*\"]`");
        /// Whether such an end becomes a record.
        pub action: Action = Action::Report, one_of::<Action>();
        /// Severity of the record, where it is not to be the built-in one.
        pub severity: Option<Severity> = None, Maybe(one_of::<Severity>());
    }
}

section! {
    /// Threads that are kept off the CPU.
    pub struct OffcpuEvents {
        /// Whether they are captured.
        pub switch: OnOff = OnOff::On, one_of::<OnOff>();
        /// Milliseconds in uninterruptible sleep (state D) that make a stall; 0 is off. Disks and network file
        /// systems that work answer within tens of milliseconds, and a parent in `vfork()`, which is in state D as
        /// well, waits a few until its child executes a program: a second of either is worth a look.
        pub blocked_ms: u64 = 1000, Whole(0..=3_600_000);
        /// Milliseconds that a thread waits for a CPU, ready to run, that make a stall; 0 is off. The scheduler lets
        /// nobody wait so long on a host that is merely busy, nor does the limit of a container, which is renewed
        /// every 100 ms. Threads of the policy `SCHED_IDLE` are left out.
        pub starved_ms: u64 = 500, Whole(0..=3_600_000);
        /// Milliseconds in interruptible sleep (state S) that make a stall of the threads of `interruptible_comms` and
        /// `interruptible_cgroups`; 0 is off.
        pub interruptible_ms: u64 = 1000, Whole(0..=3_600_000);
        /// Names of threads whose interruptible sleeps are looked at, up to 64; left out: none, since a thread that
        /// sleeps so is idle as a rule. With names here, each sleep of any thread costs a look-up of its name.
        pub interruptible_comms: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"postgres\"]`");
        /// Paths of cgroups whose threads' interruptible sleeps are looked at, `*` for any characters; up to 1,024 cgroups,
        /// new ones are found within seconds. Left out: none.
        pub interruptible_cgroups: Vec<Spanned<String>> = Vec::new(), Names("paths such as `[\"/system.slice/*\"]`");
        /// The first rule that matches decides; what no rule is about is reported.
        pub rules: Vec<FamilyRule> = Vec::new(), Sections::<FamilyRule>(PhantomData);
    }
    check sleepers;
}

section! {
    /// System calls that returned an error.
    pub struct SyscallEvents {
        /// Whether they are captured.
        pub switch: OnOff = OnOff::On, one_of::<OnOff>();
        /// Rules over the built-in table; the first one that matches decides.
        pub rules: Vec<Rule> = Vec::new(), Sections::<Rule>(PhantomData);
    }
}

section! {
    /// What to do with some failures; the first rule that matches decides, and the built-in table where none does.
    pub struct Rule {
        /// System calls the rule is about, by name or as `class:` and a class; left out: all of them. A name or class is
        /// that of an io_uring operation as well: `openat` is both, `io_uring:openat` the operation alone, and
        /// `class:io_uring` every operation.
        pub syscalls: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"openat\", \"class:network\"]`");
        /// Errors the rule is about, by name or as `class:` and a class; left out: all of them.
        pub errnos: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"ENOENT\", \"class:permission\"]`");
        /// Names of threads the rule is about, `*` for any characters; left out: all of them. Rules that ask who
        /// failed cost more than others: the kernel sends what they may be about, and the daemon decides.
        pub comms: Vec<Spanned<String>> = Vec::new(), Names("names such as `[\"nginx\", \"kworker/*\"]`");
        /// Effective user ids the rule is about; left out: all of them.
        pub uids: Vec<u64> = Vec::new(), Numbers(0..=4_294_967_295);
        /// Paths of cgroups the rule is about, `*` for any characters; left out: all of them.
        pub cgroups: Vec<Spanned<String>> = Vec::new(), Names("paths such as `[\"/system.slice/*\"]`");
        /// Whether such a failure becomes a record.
        pub action: Action = Action::Report, one_of::<Action>();
        /// Severity of the record, where it is not to be the built-in one.
        pub severity: Option<Severity> = None, Maybe(one_of::<Severity>());
    }
}

section! {
    /// How records learn what a container is called: name, image, labels, pod and namespace. Its id, and that of its pod, come
    /// from the cgroup in any case.
    pub struct Containers {
        /// Sockets of container runtimes to ask: Docker's and podman's API, and version 1 of Kubernetes' CRI. `"auto"` looks
        /// for those of Docker, podman, containerd, CRI-O and cri-dockerd where they usually are. One that appears later is
        /// found; one that hangs holds up nothing. Where systemd starts podman on demand, asking keeps it running.
        pub sockets: Sockets = Sockets::Auto, kind::RuntimeSockets;
        /// Whether records carry the labels of containers and of their pods, up to 16 of each, cut to 256 bytes.
        pub labels: OnOff = OnOff::On, one_of::<OnOff>();
    }
}

section! {
    /// How Kafka is reached. Records are always sent idempotent and acknowledged by all in-sync replicas.
    pub struct Kafka {
        /// The brokers to ask for the cluster, separated by commas.
        pub kafka_broker: String = "localhost:9092".to_owned(), Text { what: "`host:port`, ...", check: check::brokers };
        /// The most messages in one request.
        pub batch_num_messages: u64 = 10_000, Whole(1..=1_000_000);
        /// How requests are compressed.
        pub compression_codec: Compression = Compression::Zstd, one_of::<Compression>();
        /// The most messages in memory that the broker has not acknowledged; the others wait in the spool.
        pub queue_buffering_max_messages: u64 = 20_000, Whole(1..=10_000_000);
        /// The most kibibytes that these messages have; half a kibibyte each is added for what else they take. They are
        /// in memory twice, here and in librdkafka.
        pub queue_buffering_max_kbytes: u64 = 7_168, Whole(1..=2_097_151);
        /// How many milliseconds a message may wait for others to share its request.
        pub queue_buffering_max_ms: u64 = 50, Whole(0..=900_000);
        /// Whether the topic is created where it is missing, with the brokers' own defaults for partitions and
        /// replicas. Off also keeps brokers that create topics on demand from doing so.
        pub create_topic: OnOff = OnOff::On, one_of::<OnOff>();
        /// User to log in as (SASL).
        pub username: Option<String> = None, Maybe(Text { what: "text", check: check::not_empty });
        /// The user's password.
        pub password: Option<Secret> = None, Maybe(Password);
        /// File that holds nothing but the user's password. It is read again when Kafka refuses the password, so a
        /// new one takes effect by itself.
        pub password_file: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// How the user logs in.
        pub sasl_mechanism: SaslMechanism = SaslMechanism::Plain, one_of::<SaslMechanism>();
        /// Whether connections are encrypted; left out: where `ca_file` or `cert_file` is given. The brokers' host
        /// names are checked against their certificates.
        pub tls: Option<OnOff> = None, Maybe(one_of::<OnOff>());
        /// Certificates of the authorities that the brokers' certificates are checked against (PEM); left out: those
        /// that the host trusts.
        pub ca_file: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Certificate that this host shows to the brokers (PEM).
        pub cert_file: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Private key of that certificate (PEM).
        pub private_key: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Password of the private key, where it has one.
        pub private_key_password: Option<Secret> = None, Maybe(Password);
        /// File that holds nothing but the password of the private key.
        pub private_key_password_file: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Properties of librdkafka itself, set after all of the above.
        pub librdkafka: Properties = Properties::default(), AnyProperty;
    }
    others ["kafka_topic", "switch"];
    check credentials;
}

impl Config {
    /// Reads a file, then what the command line sets over it, then asks `further` what else is wrong: checks
    /// that need more than the configuration itself, such as names of system calls. What they find is reported
    /// together with everything else, at the line of its key.
    pub fn load(
        path: &Path,
        overrides: &[String],
        further: impl FnOnce(&Self) -> Vec<ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        let text = read_file(path, &file).map_err(|error| ConfigErrors(vec![error]))?;
        Self::parse(&file, &text, overrides, further)
    }

    /// As `load`, from text; `file` is what its errors call it.
    pub fn parse(
        file: &str,
        text: &str,
        overrides: &[String],
        further: impl FnOnce(&Self) -> Vec<ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = Lines::new(file.into(), text);
        let syntax = syntax::detect(text);
        let (parsed, libconfig) = match &syntax {
            Syntax::Toml(note) => (toml::parse(text, &lines, note), false),
            Syntax::Libconfig(note) => (libconfig::parse(text, &lines, note), true),
        };
        // Keys of a file that cannot be read to its end would only add errors that are none.
        let mut table = parsed.or_else(|errors| ConfigErrors::or(errors, Table::new()))?;
        let set = overrides.iter().filter_map(|setting| overrides::apply(&mut table, setting).err());
        let errors: Vec<ConfigError> = set.collect();
        let sections = Self::docs("", false);
        let root = Place { file: file.into(), line: 0 };
        let mut reader =
            Reader { errors, foreign: Vec::new(), warnings: Vec::new(), sections, root, libconfig };
        let mut config = <Self as Section>::read(&mut reader, "", &table);
        config.foreign = std::mem::take(&mut reader.foreign);
        config.warnings = reader.warnings.iter().map(ConfigError::to_string).collect();
        if config.event.encoding == Encoding::Gala && !tree::has(&table, "event.kafka_topic") {
            GALA_TOPIC.clone_into(&mut config.event.kafka_topic);
        }
        for error in further(&config) {
            let place = tree::find(&table, &error.key).unwrap_or(&reader.root);
            let at_key = place.error(&error.key, error.message.as_str());
            reader.errors.push(if error.file.is_empty() { at_key } else { error });
        }
        ConfigErrors::or(reader.errors, config)
    }

    /// Where the spool is.
    pub fn spool_dir(&self) -> PathBuf {
        self.spool.dir.clone().unwrap_or_else(|| self.event.state_dir.join("spool"))
    }

    /// The form of a record in one channel.
    pub fn encoding(&self, channel: Channel) -> Encoding {
        let own = match channel {
            Channel::Kafka => None,
            Channel::Logs => self.logs.encoding,
            Channel::Stdout => self.stdout.encoding,
        };
        own.unwrap_or(self.event.encoding)
    }

    /// What cannot be written where it is to go.
    pub fn check_encodings(&self) -> Vec<ConfigError> {
        let wrong = |channel: &&Channel| **channel != Channel::Kafka && !self.encoding(**channel).is_line();
        let no_lines = self.event.out_channel.iter().filter(wrong).map(|channel| {
            let key = format!("{}.encoding", channel.as_str());
            let message = "\"otlp_proto\" is no text, and this channel writes lines; set it to another encoding, \
                           such as \"otlp_json\"";
            ConfigError::about(key, message.to_owned())
        });
        let counts = matches!(self.encoding(Channel::Logs), Encoding::Json | Encoding::Text);
        let uncounted = (self.logs.burst_filter == OnOff::On && !counts).then(|| {
            let message = format!(
                "records of the encoding {:?} have no place for the number of repetitions; set logs.encoding to \
                 \"json\" or \"text\"",
                self.encoding(Channel::Logs).as_str()
            );
            ConfigError::about("logs.burst_filter", message)
        });
        no_lines.chain(uncounted).collect()
    }

    /// The effective configuration as TOML, with `"***"` in place of every secret.
    pub fn render(&self) -> String {
        tree::to_toml(&self.show())
    }

    /// What tells one effective configuration from another, but for its secrets: 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.render());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn read_file(path: &Path, file: &str) -> Result<String, ConfigError> {
    let place = Place { file: file.into(), line: 0 };
    let cannot = |error: std::io::Error| place.error("", format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(cannot)?;
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(place.error("", "is larger than 1 MiB; a configuration is not"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        Place { file: file.into(), line }.error("", "is not UTF-8 here; save the file as UTF-8")
    })
}

fn needs_probes(reader: &mut Reader, key: &str, table: &Table) {
    if tree::get(table, "probes").is_none() {
        let message = probes::missing(reader.libconfig, "");
        reader.errors.push(reader.root.error(&read::join(key, "probes"), message));
    }
}

fn sleepers(reader: &mut Reader, key: &str, table: &Table) {
    check::at_most(reader, key, table, "interruptible_comms", SLEEPER_NAMES_LEN as usize);
}

fn credentials(reader: &mut Reader, key: &str, table: &Table) {
    let password = ["password", "password_file"];
    check::together(reader, key, table, ["username"].as_slice(), password.as_slice());
    check::together(reader, key, table, ["cert_file"].as_slice(), ["private_key"].as_slice());
    check::one_at_most(reader, key, table, password);
    check::one_at_most(reader, key, table, ["private_key_password", "private_key_password_file"]);
}
