//! `cargo xtask codegen`: the pages of docs/ that are made from code. In: the code; out: the pages rewritten,
//! or, with `--check`, failure where one differs. The daemon's own tests do both.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, report, run};

/// Rewrites the pages, or only compares them.
pub fn run(check: bool) -> Result<ExitCode> {
    let mut cargo = build::user_space("test");
    cargo.args(["--lib", "docs"]);
    if check {
        cargo.env_remove("UPDATE_DOCS");
    } else {
        cargo.env("UPDATE_DOCS", "1");
    }
    let (status, said) = run::tee(cargo, "", None)?;
    // No test at all would mean that nothing was compared.
    let agree = status.success() && report::sum(&said).passed > 0;
    println!(
        "codegen: {}",
        if agree { "docs/ and the code agree" } else { "FAILED; `cargo xtask codegen` rewrites docs/" }
    );
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
