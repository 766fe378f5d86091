//! What values can be: one file for each kind, with its form in the file, its bounds and its words.

mod address;
mod choice;
mod duration;
mod endpoint;
mod feature;
mod field_name;
mod file_path;
mod grant;
mod host;
mod json;
mod library_name;
mod list;
mod located;
mod lua_grant;
mod lua_text;
mod model_version;
pub(crate) mod name;
mod number;
mod or_word;
mod output;
mod percent;
mod rate;
mod real;
mod reference;
mod route_path;
mod runtime_library;
mod size;
mod switch;
mod units;
mod variable;

pub(crate) use address::Address;
pub(crate) use choice::Choice;
pub(crate) use duration::Time;
pub(crate) use endpoint::EndpointAddress;
pub(crate) use feature::{Bounds, Characters, Decimal, Factor, PartName, Pointer, Word};
pub(crate) use field_name::FieldName;
pub(crate) use file_path::FilePath;
pub(crate) use grant::{GrantName, Granted};
pub(crate) use host::{Host, ServerName};
pub(crate) use json::Json;
pub(crate) use library_name::LibraryName;
pub(crate) use list::List;
pub(crate) use located::At;
pub(crate) use lua_grant::LuaGrantName;
pub(crate) use lua_text::LuaText;
pub(crate) use model_version::ModelVersionName;
pub(crate) use name::Name;
pub(crate) use number::Number;
pub(crate) use or_word::OrWord;
pub(crate) use output::Output;
pub(crate) use percent::Percent;
pub(crate) use rate::TokenRate;
pub(crate) use real::Real;
pub(crate) use reference::NameOf;
pub(crate) use route_path::{RoutePath, RoutePrefix};
pub(crate) use runtime_library::RuntimeLibrary;
pub(crate) use size::{GIB, KIB, MIB, Size};
pub(crate) use switch::Switch;
pub(crate) use variable::Variable;

use crate::node::Node;
use crate::source::Read;

/// A kind of values.
pub(crate) trait Kind {
    type Value;

    /// Completes "expected …".
    fn expected(&self) -> String;

    /// The value, or the report of what is wrong with it.
    fn read(&self, node: &Node<'_>) -> Read<Self::Value>;
}

/// A kind whose values can be written as they stand in a file: needed for those with a default.
pub(crate) trait Shown: Kind {
    /// In TOML.
    fn show(&self, value: &Self::Value) -> String;
}
