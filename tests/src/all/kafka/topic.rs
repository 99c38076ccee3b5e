//! A topic that is missing, closed or taken away: in come daemons, out comes whether they say what to do, and whether
//! everything is there once it is done.

use anyhow::{Result, ensure};
use tests::daemon::open_dir;
use tests::kafka::secured::{GUEST, PASSWORD, Secured, USER};

use super::sent::{Sent, folder};

fn user(name: &str) -> String {
    format!("username = \"{name}\"\npassword_file = \"DIR/secret\"\nsasl_mechanism = \"PLAIN\"\n")
}

#[test]
fn a_missing_topic_is_created_where_that_is_allowed() -> Result<()> {
    let mut sent = Sent::start("OPEN", "created", folder("secret", PASSWORD)?, &user(USER))?;
    sent.fail(5)?;
    sent.says(&["the topic created was missing and is created"])?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_missing_topic_is_told_where_it_is_not() -> Result<()> {
    let secured = Secured::get()?;
    let keys = format!("{}create_topic = \"off\"\n", user(USER));
    let mut sent = Sent::start("OPEN", "missing", folder("secret", PASSWORD)?, &keys)?;
    sent.fail(5)?;
    sent.says(&["topic missing does not exist and kafka.create_topic is off", "kafka-topics.sh"])?;
    secured.kafka.create_topic("missing", &[])?;
    sent.fail(5)?;
    let ended = sent.finish_whole()?;
    ensure!(ended.log.matches("does not exist").count() == 1, "it is told more than once a minute");
    Ok(())
}

#[test]
fn a_topic_without_permission_is_told_and_the_permission_lets_everything_through() -> Result<()> {
    let secured = Secured::get()?;
    secured.kafka.create_topic("closed", &[])?;
    let mut sent = Sent::start("OPEN", "closed", folder("secret", PASSWORD)?, &user(GUEST))?;
    sent.fail(5)?;
    let grant = format!("--add --allow-principal User:{GUEST} --producer --topic closed");
    sent.says(&[&format!("user {GUEST} may not write to topic closed"), &grant])?;
    let grant: Vec<&str> = grant.split(' ').collect();
    secured.kafka.tool("org.apache.kafka.tools.AclCommand", &grant)?;
    sent.fail(5)?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_topic_that_is_deleted_under_the_daemon() -> Result<()> {
    let secured = Secured::get()?;
    for create in ["on", "off"] {
        let topic = format!("deleted-{create}");
        secured.kafka.create_topic(&topic, &[])?;
        let keys = format!("{}create_topic = \"{create}\"\n", user(USER));
        let mut sent = Sent::start("OPEN", &topic, folder("secret", PASSWORD)?, &keys)?;
        sent.fail(5)?;
        sent.arrive()?;
        secured.kafka.delete_topic(&topic)?;
        sent.fail(5)?;
        if create == "on" {
            sent.says(&["was missing and is created"])?;
        } else {
            sent.says(&["does not exist and kafka.create_topic is off"])?;
            secured.kafka.create_topic(&topic, &[])?;
        }
        // Offsets begin anew in the new topic.
        let mut new = secured.kafka.read(&topic)?;
        std::mem::swap(&mut sent.reader.records, &mut new.records);
        sent.reader = new;
        sent.fail(5)?;
        sent.finish_whole()?;
    }
    Ok(())
}

#[test]
fn a_daemon_without_a_password_says_what_the_listener_wants() -> Result<()> {
    let mut sent = Sent::start("OPEN", "nobody", open_dir()?, "")?;
    sent.fail(1)?;
    sent.says(&[
        "Kafka closes the connection",
        "want TLS (kafka.tls, kafka.ca_file) or a login (kafka.username)",
    ])
}
