//! gateway.toml: from text to a validated [`Config`], or to the full list of its problems.
//!
//! Pure: nothing here opens a file, asks the environment or resolves a name.
//!
//! Each section of the file has one source file under `section`, which asks a `Table` for its keys. That is the only
//! definition of a key: it parses the value, makes every other key an error, and writes the [`reference()`].
//!
//! ```
//! use std::path::Path;
//!
//! let text = r#"
//! [[listeners]]
//! address = "127.0.0.1:8080"
//!
//! [upstreams.demo]
//! endpoints = ["127.0.0.1:9000"]
//!
//! [[routes]]
//! name = "all"
//! upstream = "demo"
//! deadlin = 5
//! "#;
//! let problems = witgate_config::parse(text, Path::new("gateway.toml")).unwrap_err();
//! assert_eq!(problems[0].help.as_deref(), Some("did you mean `deadline`?"));
//!
//! let config = witgate_config::parse(&text.replace("deadlin = 5", "deadline = \"5s\""), Path::new("gateway.toml"));
//! assert_eq!(config.unwrap().routes[0].name, "all");
//! ```

mod belonging;
mod change;
mod diagnostic;
mod kind;
mod model;
mod nearest;
mod node;
mod places;
mod reference;
mod section;
mod source;
mod syntax;
mod table;
mod tree;

use std::path::Path;

pub use diagnostic::Diagnostic;
pub use model::*;
pub use nearest::did_you_mean;
pub use places::{Place, Places};
pub use reference::{OptionKey, OptionTable, options, reference};

use source::Source;
use table::Table;
use tree::Tree;

/// A model without files and without any setting of its own.
pub fn model_defaults() -> Model {
    section::model_defaults()
}

/// The configuration that `text`, the content of `file`, describes. Relative paths in it start from the file's directory.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file; of a hundred problems and more, the first found.
pub fn parse(text: &str, file: &Path) -> Result<Config, Vec<Diagnostic>> {
    let source = Source::new(text, file);
    let config = match Tree::parse(text, &source) {
        Ok(tree) => Table::root(&source, Some(tree.root())).read(section::read),
        Err(reported) => Err(reported),
    };
    source.conclude(config)
}
