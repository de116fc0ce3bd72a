//! The scripted demonstration.
use crate::arguments::Options;
use std::process::ExitCode;
/// Which demonstration.
#[derive(clap::Args, Clone, Debug)]
pub struct DemoArguments {}
pub(crate) async fn run(_options: &Options, _arguments: DemoArguments) -> ExitCode { ExitCode::FAILURE }
