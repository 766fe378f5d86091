use clap::ValueEnum;

use crate::failure::Failure;
use crate::guests::Language;
use crate::progress::Progress;

/// Install the toolchains of the guest languages and build the first plugin of each.
///
/// Toolchains come from the registries of packages in pinned versions, once, into target/toolchains; with
/// target/toolchains/bin in your PATH they build your own plugins too. The first plugins are copied from
/// examples/first-plugin to target/guests and built there. Prints the path of each component.
///
/// Needs python3 with venv for all but Rust, and make for C and Go.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which languages, comma-separated; all, without it.
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGE")]
    lang: Vec<Language>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    let all = Language::value_variants();
    let languages = if options.lang.is_empty() { all } else { &options.lang };
    let components = build(languages, &progress)?;
    progress.step("done");
    components.iter().for_each(|component| println!("{component}"));
    Ok(())
}

/// Builds the first plugins in these languages; returns their paths.
pub fn build(languages: &[Language], progress: &Progress) -> Result<Vec<String>, Failure> {
    languages.iter().map(|language| Ok(language.build(progress)?.display().to_string())).collect()
}
