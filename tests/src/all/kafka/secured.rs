//! Kafka behind TLS and passwords: in come daemons with right, wrong and changed secrets and certificates, out comes
//! whether they get in, or say what to do and get in once it is done.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use tests::daemon::open_dir;
use tests::kafka::certificate::{Authority, lock};
use tests::kafka::secured::{PASSWORD, ROTATED, Secured, USER};

use super::sent::{Sent, folder, write_secret};

#[test]
fn every_way_to_log_in_delivers() -> Result<()> {
    let secured = Secured::get()?;
    let ca = secured.authority.display();
    let (certificate, key) = &secured.client;
    let user = format!("username = \"{USER}\"\npassword_file = \"DIR/secret\"\n");
    let tls = format!("ca_file = \"{ca}\"\n");
    let locked = lock(key, PASSWORD)?;
    let mutual = |key: &std::path::Path| {
        format!("{tls}cert_file = \"{}\"\nprivate_key = \"{}\"\n", certificate.display(), key.display())
    };
    let ways = [
        ("LOGIN", format!("{user}{tls}")),
        ("LOGIN", format!("{user}{tls}sasl_mechanism = \"SCRAM-SHA-256\"\n")),
        ("LOGIN", format!("{user}{tls}sasl_mechanism = \"SCRAM-SHA-512\"\n")),
        ("LOGIN", format!("username = \"{USER}\"\npassword = \"{PASSWORD}\"\n{tls}")),
        ("OPEN", format!("{user}sasl_mechanism = \"SCRAM-SHA-512\"\n")),
        ("MUTUAL", mutual(key)),
        ("MUTUAL", format!("{}private_key_password_file = \"DIR/secret\"\n", mutual(&locked))),
    ];
    for (index, (listener, keys)) in ways.iter().enumerate() {
        let mut sent = Sent::start(listener, &format!("way-{index}"), folder("secret", PASSWORD)?, keys)?;
        sent.fail(5)?;
        let ended = sent.finish_whole()?;
        ensure!(!ended.log.contains("WARN"), "{listener} {keys}: {}", ended.log);
    }
    Ok(())
}

#[test]
fn no_log_tells_a_secret() -> Result<()> {
    let secured = Secured::get()?;
    let keys = format!(
        "username = \"{USER}\"\npassword_file = \"DIR/secret\"\nca_file = \"{}\"\n[kafka.librdkafka]\ndebug = \"all\"\n\
         [global]\nlog_level = \"trace\"\n",
        secured.authority.display()
    );
    let dir = folder("secret", PASSWORD)?;
    fs::set_permissions(dir.path().join("secret"), fs::Permissions::from_mode(0o644))?;
    let mut sent = Sent::start("LOGIN", "secrets", dir, &keys)?;
    sent.fail(2)?;
    let ended = sent.finish_whole()?;
    ensure!(ended.log.contains("librdkafka"), "nothing of librdkafka is in the log");
    ensure!(!ended.log.contains(PASSWORD), "the password is in the log");
    ensure!(ended.log.contains("chmod o-rwx"), "that everybody can read it is not told: {}", ended.log);
    Ok(())
}

#[test]
fn a_wrong_password_is_told_and_a_right_one_lets_everything_through() -> Result<()> {
    let secured = Secured::get()?;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let keys = format!(
            "username = \"{USER}\"\npassword_file = \"DIR/secret\"\nca_file = \"{}\"\nsasl_mechanism = \"{mechanism}\"\n",
            secured.authority.display()
        );
        let topic = format!("wrong-{mechanism}");
        let mut sent = Sent::start("LOGIN", &topic, folder("secret", "mistyped")?, &keys)?;
        sent.fail(5)?;
        sent.says(&[&format!("does not let user {USER} log in with {mechanism}"), "secret (a new one"])?;
        write_secret(&sent.file("secret"), PASSWORD)?;
        sent.fail(5)?;
        let ended = sent.finish_whole()?;
        ensure!(!ended.log.contains("mistyped") && !ended.log.contains(PASSWORD), "a password is in the log");
    }
    Ok(())
}

#[test]
fn a_password_that_changes_while_the_daemon_runs() -> Result<()> {
    let secured = Secured::get()?;
    let keys = format!(
        "username = \"{ROTATED}\"\npassword_file = \"DIR/secret\"\nca_file = \"{}\"\nsasl_mechanism = \"SCRAM-SHA-512\"\n",
        secured.authority.display()
    );
    let mut sent = Sent::start("LOGIN", "rotated", folder("secret", PASSWORD)?, &keys)?;
    sent.fail(5)?;
    sent.arrive()?;
    let change = "SCRAM-SHA-512=[password=fresh-word]";
    let user = ["--alter", "--entity-type", "users", "--entity-name", ROTATED, "--add-config", change];
    secured.kafka.tool("kafka.admin.ConfigCommand", &user)?;
    // The listener wants to be logged in to again after two seconds.
    sent.says(&[&format!("does not let user {ROTATED} log in")])?;
    sent.fail(5)?;
    write_secret(&sent.file("secret"), "fresh-word")?;
    sent.says(&["has changed", "Kafka takes records"])?;
    sent.fail(5)?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_wrong_authority_is_told_and_the_right_one_lets_everything_through() -> Result<()> {
    let secured = Secured::get()?;
    let dir = open_dir()?;
    let other = Authority::new(dir.path(), "other")?;
    fs::copy(other.certificate(), dir.path().join("ca.pem"))?;
    let user = format!("username = \"{USER}\"\npassword = \"{PASSWORD}\"\n");
    let mut sent = Sent::start("LOGIN", "authority", dir, &format!("{user}ca_file = \"DIR/ca.pem\"\n"))?;
    sent.fail(5)?;
    sent.says(&["certificate of a broker is not accepted", "(kafka.ca_file)"])?;
    fs::copy(&secured.authority, sent.file("ca.new"))?;
    fs::rename(sent.file("ca.new"), sent.file("ca.pem"))?;
    sent.fail(5)?;
    sent.finish_whole().map(drop)
}

#[test]
fn certificates_that_are_expired_or_of_another_host_are_not_accepted() -> Result<()> {
    let secured = Secured::get()?;
    for listener in ["EXPIRED", "ELSEWHERE"] {
        let keys = format!("ca_file = \"{}\"\n", secured.authority.display());
        let mut sent = Sent::start(listener, &format!("no-{listener}"), open_dir()?, &keys)?;
        sent.fail(3)?;
        sent.says(&["has expired, or is for another host name", "openssl s_client"])?;
        // Whoever takes the risk may: that it works then shows that nothing else was wrong.
        if listener == "ELSEWHERE" {
            drop(sent);
            let keys =
                format!("{keys}[kafka.librdkafka]\n\"ssl.endpoint.identification.algorithm\" = \"none\"\n");
            let mut sent = Sent::start(listener, "any-host", open_dir()?, &keys)?;
            sent.fail(3)?;
            sent.says(&["topic any-host"])?;
            continue;
        }
        let (_, ledger, _) = sent.finish()?;
        // The next start may have a broker that is trusted.
        let kept = ledger.of_sink("kafka", "kept")?;
        ensure!(kept >= 3 && kept == ledger.of("events")?, "{ledger:?}");
    }
    Ok(())
}

#[test]
fn a_listener_that_wants_a_certificate_is_told() -> Result<()> {
    let secured = Secured::get()?;
    let (certificate, key) = &secured.client;
    let dir = open_dir()?;
    let other = Authority::new(dir.path(), "other")?;
    let (mine, my_key) = other.sign("client", "DNS:client", tests::kafka::certificate::Ends::Later)?;
    fs::copy(mine, dir.path().join("host.pem"))?;
    fs::copy(my_key, dir.path().join("host.key"))?;
    let keys = format!(
        "ca_file = \"{}\"\ncert_file = \"DIR/host.pem\"\nprivate_key = \"DIR/host.key\"\n",
        secured.authority.display()
    );
    let mut sent = Sent::start("MUTUAL", "mutual", dir, &keys)?;
    sent.fail(3)?;
    sent.says(&["certificate of this host", "(kafka.cert_file)"])?;
    fs::copy(key, sent.file("host.key"))?;
    fs::copy(certificate, sent.file("host.pem"))?;
    sent.fail(3)?;
    sent.finish_whole().map(drop)
}
