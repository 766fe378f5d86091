//! A plugin's configuration, held against the schema that the plugin brought along.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;

use crate::LoadError;
use crate::error::ConfigProblem;

/// Most problems reported at once.
const PROBLEMS_LIMIT: usize = 16;

/// Characters of a wrong value that a message repeats.
const ECHO_LIMIT: usize = 40;

/// Checks a configuration against a JSON Schema (2020-12 unless it says otherwise). References to other documents are
/// not followed.
pub(crate) fn check(schema: &str, config: &Value) -> Result<(), LoadError> {
    let unusable = |error: &dyn std::fmt::Display| {
        tracing::debug!(%error, "a plugin's schema is unusable");
        LoadError::Schema
    };
    let schema: Value = serde_json::from_str(schema).map_err(|error| unusable(&error))?;
    let validator = jsonschema::options()
        // Linear in the length of the text, whatever the pattern.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| unusable(&error))?;
    let errors = validator.iter_errors(config);
    let problems: Vec<_> = errors.flat_map(|error| problems(&error, &schema)).take(PROBLEMS_LIMIT).collect();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::ConfigSchema { problems }) }
}

/// What one disagreement means, in words of our own: one problem for each key of it.
fn problems(error: &ValidationError<'_>, schema: &Value) -> Vec<ConfigProblem> {
    use ValidationErrorKind as Kind;
    let one = |message: String| vec![at(error, message)];
    let got = || shown(error.instance());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|key| unknown_key(error, schema, key)).collect()
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default().to_owned();
            let message = format!("missing: expected `{key}`");
            vec![ConfigProblem { missing: Some(key), ..at(error, message) }]
        }
        Kind::Type { .. } => one(format!("expected {}, got {}", types(error, schema), got())),
        Kind::Enum { options } => one(format!("expected {}, got {}", any_of(options.as_array()), got())),
        Kind::Constant { expected_value } => one(format!("expected {}, got {}", shown(expected_value), got())),
        Kind::Minimum { limit } => one(format!("expected at least {limit}, got {}", got())),
        Kind::ExclusiveMinimum { limit } => one(format!("expected more than {limit}, got {}", got())),
        Kind::Maximum { limit } => one(format!("expected at most {limit}, got {}", got())),
        Kind::ExclusiveMaximum { limit } => one(format!("expected less than {limit}, got {}", got())),
        Kind::MultipleOf { multiple_of } => one(format!("expected a multiple of {multiple_of}, got {}", got())),
        Kind::MinLength { limit } => one(format!("expected at least {limit} characters, got {}", got())),
        Kind::MaxLength { limit } => one(format!("expected at most {limit} characters, got {}", got())),
        Kind::MinItems { limit } => one(format!("expected at least {limit} entries, got {}", got())),
        Kind::MaxItems { limit } => one(format!("expected at most {limit} entries, got {}", got())),
        Kind::AdditionalItems { limit } => one(format!("expected at most {limit} entries, got {}", got())),
        Kind::MinProperties { limit } => one(format!("expected at least {limit} keys, got {}", got())),
        Kind::MaxProperties { limit } => one(format!("expected at most {limit} keys, got {}", got())),
        Kind::UniqueItems => one(format!("expected entries that differ, got {}", got())),
        Kind::Pattern { pattern } => one(format!("expected text of the form `{pattern}`, got {}", got())),
        Kind::Format { format } => one(format!("expected a value of the format `{format}`, got {}", got())),
        Kind::PropertyNames { error: inner } => {
            let key = inner.instance().as_str().unwrap_or_default().to_owned();
            let message = format!("expected other names of keys, got `{key}`");
            vec![ConfigProblem { key: Some(key), ..at(error, message) }]
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => one(none_of(error, schema, context)),
        Kind::OneOfMultipleValid { .. } => {
            one(format!("expected one of several forms that exclude each other, got more in {}", got()))
        }
        Kind::FalseSchema => one(format!("expected nothing here, got {}", got())),
        Kind::Not { .. } => one(format!("expected anything else than {}", got())),
        Kind::Contains => one(format!("expected an entry of another form among these, got {}", got())),
        _ => one(format!("expected what the plugin's schema says of `{}`, got {}", error.kind().keyword(), got())),
    }
}

fn at(error: &ValidationError<'_>, message: String) -> ConfigProblem {
    let pointer = error.instance_path().as_str().to_owned();
    ConfigProblem { path: dotted(&pointer), pointer, key: None, known: Vec::new(), missing: None, message }
}

fn unknown_key(error: &ValidationError<'_>, schema: &Value, key: &str) -> ConfigProblem {
    // What forbids others stands beside what allows some.
    let beside = error.schema_path().as_str().rsplit_once('/').map_or("", |(beside, _)| beside);
    let properties = schema.pointer(beside).and_then(|schema| schema.get("properties")?.as_object());
    let known: Vec<String> = properties.into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let names = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let message = match names.as_str() {
        "" => format!("unknown key `{key}`: expected none of that name"),
        names => format!("unknown key `{key}`: expected one of {names}"),
    };
    ConfigProblem { key: Some(key.to_owned()), known, ..at(error, message) }
}

/// Where no form of several fits: what the only form of the right type lacks, or the types of all.
fn none_of(error: &ValidationError<'_>, schema: &Value, context: &[Vec<ValidationError<'static>>]) -> String {
    let is_type = |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Type { .. });
    let of_its_type: Vec<_> = context.iter().filter(|errors| !errors.iter().any(is_type)).collect();
    if let [errors] = of_its_type.as_slice() {
        let told: Vec<_> = errors.iter().flat_map(|error| problems(error, schema)).map(|one| one.message).collect();
        return told.join("; ");
    }
    let mut wanted: Vec<_> =
        context.iter().flatten().filter(|error| is_type(error)).map(|it| types(it, schema)).collect();
    wanted.dedup();
    let wanted =
        if wanted.is_empty() { "one of the forms of the plugin's schema".to_owned() } else { wanted.join(" or ") };
    format!("expected {wanted}, got {}", shown(error.instance()))
}

/// The types that the schema names where it disagrees.
fn types(error: &ValidationError<'_>, schema: &Value) -> String {
    let named = schema.pointer(error.schema_path().as_str());
    let names: Vec<&str> = match named {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words = names.iter().map(|name| match *name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "an array",
        "object" => "a table",
        _ => "nothing",
    });
    match words.collect::<Vec<_>>().join(" or ") {
        words if words.is_empty() => "a value of another type".to_owned(),
        words => words,
    }
}

fn any_of(options: Option<&Vec<Value>>) -> String {
    let options: Vec<_> = options.into_iter().flatten().map(shown).collect();
    match options.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// A value in a few words that are safe to print.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "a table".to_owned(),
        Value::String(text) => {
            let mut short: String = text.chars().take(ECHO_LIMIT).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            format!("\"{}\"", short.escape_debug().collect::<String>().replace("\\'", "'"))
        }
        other => other.to_string(),
    }
}

fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{step}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{
        "type": "object",
        "properties": {
            "cost": { "type": "integer", "minimum": 1, "maximum": 9 },
            "mode": { "enum": ["on", "off"] },
            "name": { "type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-z]+$" },
            "either": { "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 5 }] },
            "any": { "type": ["boolean", "array"], "maxItems": 1, "uniqueItems": true },
            "rules": { "type": "array", "items": { "type": "object", "required": ["name"] } }
        },
        "additionalProperties": false
    }"#;

    fn problems(config: &Value) -> Vec<ConfigProblem> {
        match check(SCHEMA, config) {
            Err(LoadError::ConfigSchema { problems }) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fitting_configuration_passes() {
        assert!(check(SCHEMA, &json!({ "cost": 2, "rules": [{ "name": "a" }] })).is_ok());
        assert!(check(SCHEMA, &json!({})).is_ok());
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let problems = problems(&json!({ "cost": 0, "rules": [{ "name": "a" }, {}] }));
        assert_eq!(problems.len(), 2);
        let at = |path| problems.iter().find(|problem| problem.path == path).map(|problem| problem.message.as_str());
        assert_eq!(at("cost"), Some("expected at least 1, got 0"), "{problems:?}");
        assert_eq!(at("rules[1]"), Some("missing: expected `name`"), "{problems:?}");
    }

    #[test]
    fn problems_are_told_in_words_of_our_own() {
        for (config, message) in [
            (json!({ "cost": "x" }), "expected a whole number, got \"x\""),
            (json!({ "cost": 10 }), "expected at most 9, got 10"),
            (json!({ "mode": "of" }), "expected \"on\" or \"off\", got \"of\""),
            (json!({ "name": "a" }), "expected at least 2 characters, got \"a\""),
            (json!({ "name": "abcd" }), "expected at most 3 characters, got \"abcd\""),
            (json!({ "name": "A1" }), "expected text of the form `^[a-z]+$`, got \"A1\""),
            (json!({ "either": 4 }), "expected at least 5, got 4"),
            (json!({ "either": [] }), "expected text or a whole number, got an array of 0"),
            (json!({ "any": 1 }), "expected `true` or `false` or an array, got 1"),
            (json!({ "any": [1, 2] }), "expected at most 1 entries, got an array of 2"),
            (json!({ "rules": {} }), "expected an array, got a table"),
        ] {
            let found: Vec<_> = problems(&config).into_iter().map(|problem| problem.message).collect();
            assert_eq!(found, [message], "{config}");
        }
    }

    #[test]
    fn unknown_keys_are_named_with_those_that_there_are() {
        let problems = problems(&json!({ "cots": 1, "b": 2 }));
        let mut keys: Vec<_> = problems.iter().filter_map(|problem| problem.key.as_deref()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["b", "cots"], "in whatever order the table has them");
        let cots = problems.iter().find(|problem| problem.key.as_deref() == Some("cots")).unwrap();
        assert!(cots.message.starts_with("unknown key `cots`: expected one of `"), "{problems:?}");
        assert!(cots.known.contains(&"cost".to_owned()));
    }

    #[test]
    fn a_schema_that_is_none_is_the_plugins_fault() {
        for schema in ["{", r#"{ "type": "thing" }"#, r#"{ "$ref": "https://example.com/schema.json" }"#] {
            assert!(matches!(check(schema, &json!({})), Err(LoadError::Schema)), "{schema}");
        }
    }
}
