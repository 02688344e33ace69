//! The binary: parse, run, exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use talaria::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Standard output belongs to the protocol; if the other stream is gone too, nobody reads.
            drop(writeln!(std::io::stderr(), "talaria: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
