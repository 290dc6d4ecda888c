//! `seedbed serve`: its log, a line for each thing that an operator may want to know.

use super::BadInput;
use std::fs::File;
use std::sync::Arc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};

/// What is said, and where.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct LogArgs {
    /// What is logged: debug, info, warn or error and what is worse
    #[arg(long, value_name = "LEVEL", env = "ETCD_LOG_LEVEL", hide_env = true, default_value = "info",
          value_parser = ["debug", "info", "warn", "error", "panic", "fatal"])]
    log_level: String,

    /// Taken for etcd's sake: there is one way to log
    #[arg(long, value_name = "NAME", env = "ETCD_LOGGER", hide_env = true, default_value = "zap",
          value_parser = ["zap", "capnslog"])]
    logger: String,

    /// Where the log goes: stderr, stdout, or files; several with commas between them
    #[arg(
        long,
        value_name = "OUTPUT",
        env = "ETCD_LOG_OUTPUTS",
        hide_env = true,
        value_delimiter = ',',
        default_value = "default"
    )]
    log_outputs: Vec<String>,
}

impl LogArgs {
    /// Logs from now on.
    pub(super) fn begin(&self) -> Result<(), BadInput> {
        let level = match &*self.log_level {
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        };
        let mut all: Option<BoxMakeWriter> = None;
        for output in &self.log_outputs {
            let one = writer(output)?;
            all = Some(match all {
                None => one,
                Some(others) => BoxMakeWriter::new(others.and(one)),
            });
        }
        let Some(writer) = all else { return Ok(()) };
        let log = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_ansi(false);
        // Another log is there already where a test serves twice in one process.
        let _ = log.with_writer(writer).try_init();
        Ok(())
    }
}

fn writer(output: &str) -> Result<BoxMakeWriter, BadInput> {
    Ok(match output {
        "default" | "stderr" => BoxMakeWriter::new(std::io::stderr),
        "stdout" => BoxMakeWriter::new(std::io::stdout),
        path => {
            let file = File::options().append(true).create(true).open(path);
            let file = file.map_err(|error| BadInput(format!("--log-outputs {path}: {error}")))?;
            BoxMakeWriter::new(Arc::new(file))
        }
    })
}
