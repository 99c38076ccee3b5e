//! Apache Kafka for the whole-daemon tests. In: `KAFKA_HOME`, or Maven Central; out: a folder of jars that a
//! plain `java -cp 'FOLDER/*' kafka.Kafka` runs from.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::Found;
use crate::{cache, run};

const FOLDER: &str = "kafka-4.3.0";

/// The broker, the command-line tools without the Connect they would pull in, and a logger that writes.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>gala-gopher</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.3.0</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>4.3.0</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-api</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The folder of Kafka's jars: the user's own Kafka where `KAFKA_HOME` names one.
pub fn libs() -> Result<PathBuf> {
    let Some(home) = env::var_os("KAFKA_HOME") else { return Ok(cache::folder(FOLDER)?.join("libs")) };
    let libs = PathBuf::from(home).join("libs");
    if !holds_broker(&libs) {
        bail!("KAFKA_HOME is set, but {} holds no kafka_*.jar; correct it or unset it", libs.display());
    }
    Ok(libs)
}

/// Whether the jars are there.
pub fn is_here() -> Result<bool> {
    Ok(libs()?.is_dir())
}

/// The step of `setup`.
pub fn step() -> Result<Found> {
    let libs = libs()?;
    if libs.is_dir() {
        return Ok(Found::Ready(libs.display().to_string()));
    }
    let install = || cache::fill(FOLDER, fetch).map(|_| ());
    Ok(Found::Missing("Apache Kafka 4.3.0 (44 MB, Maven Central)".into(), Box::new(install)))
}

fn fetch(folder: &Path) -> Result<()> {
    fs::write(folder.join("pom.xml"), POM)?;
    let libs = folder.join("libs");
    let mut maven = Command::new("mvn");
    maven.current_dir(folder).args(["-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", libs.display()));
    run::quietly(maven).context("fetching Apache Kafka (an installed one is taken from KAFKA_HOME)")?;
    if !holds_broker(&libs) {
        bail!("Maven fetched no kafka_*.jar");
    }
    Ok(())
}

fn holds_broker(libs: &Path) -> bool {
    let is_broker = |name: &str| name.starts_with("kafka_") && name.ends_with(".jar");
    fs::read_dir(libs)
        .is_ok_and(|files| files.flatten().any(|file| is_broker(&file.file_name().to_string_lossy())))
}
