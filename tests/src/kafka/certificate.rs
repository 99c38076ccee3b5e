//! Certificates for tests: in come names, out come PEM files that `openssl` makes, signed by an authority of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// An authority that signs.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// When a certificate ends.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    /// In a year.
    Later,
    /// It has ended already.
    Before,
}

impl Authority {
    /// An authority with files in `dir`.
    pub fn new(dir: &Path, name: &str) -> Result<Self> {
        let authority = Self { dir: dir.to_owned(), name: name.to_owned() };
        let subject = format!("/CN={name}");
        let (key, certificate) = (authority.at("key"), authority.at("pem"));
        openssl(
            &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", &subject, "-keyout"],
            &key,
            &["-out".as_ref(), &certificate],
        )?;
        Ok(authority)
    }

    fn at(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.at("pem")
    }

    /// Signs a certificate for `subject`, valid for `hosts` as in `IP:127.0.0.1`. Out come the certificate and its
    /// key.
    pub fn sign(&self, subject: &str, hosts: &str, ends: Ends) -> Result<(PathBuf, PathBuf)> {
        let at = |extension: &str| self.dir.join(format!("{subject}.{extension}"));
        let (key, request, certificate, extensions) = (at("key"), at("csr"), at("pem"), at("ext"));
        let name = format!("/CN={subject}");
        fs::write(&extensions, format!("subjectAltName={hosts}\n"))?;
        openssl(
            &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &name, "-keyout"],
            &key,
            &["-out".as_ref(), &request],
        )?;
        let days = match ends {
            Ends::Later => "365",
            // One that ends a day before it begins is expired whatever the time is.
            Ends::Before => "-1",
        };
        openssl(
            &["x509", "-req", "-days", days, "-CAcreateserial", "-in"],
            &request,
            &[
                "-CA".as_ref(),
                &self.certificate(),
                "-CAkey".as_ref(),
                &self.at("key"),
                "-extfile".as_ref(),
                &extensions,
                "-out".as_ref(),
                &certificate,
            ],
        )?;
        Ok((certificate, key))
    }
}

/// Key and certificate in one file, as Kafka takes them.
pub fn keystore(certificate: &Path, key: &Path) -> Result<PathBuf> {
    let path = certificate.with_extension("keystore.pem");
    fs::write(&path, [fs::read(key)?, fs::read(certificate)?].concat())?;
    Ok(path)
}

/// The same key under a password.
pub fn lock(key: &Path, password: &str) -> Result<PathBuf> {
    let path = key.with_extension("locked.key");
    let password = format!("pass:{password}");
    openssl(&["pkcs8", "-topk8", "-passout", &password, "-in"], key, &["-out".as_ref(), &path])?;
    Ok(path)
}

fn openssl(before: &[&str], file: &Path, after: &[&Path]) -> Result<()> {
    let output =
        Command::new("openssl").args(before).arg(file).args(after).output().context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl {before:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
