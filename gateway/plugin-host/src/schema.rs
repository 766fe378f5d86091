//! A plugin's configuration, held against the schema that the plugin brought along.

use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;

use crate::LoadError;
use crate::error::ConfigProblem;

/// Most problems reported at once.
const PROBLEMS_LIMIT: usize = 16;

/// Checks a configuration against a JSON Schema (2020-12 unless it says otherwise). References to other documents are
/// not followed.
pub(crate) fn check(schema: &str, config: &Value) -> Result<(), LoadError> {
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| LoadError::Schema { reason: error.to_string() })?;
    let validator = jsonschema::options()
        // Linear in the length of the text, whatever the pattern.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| LoadError::Schema { reason: error.to_string() })?;
    let problems: Vec<_> = validator.iter_errors(config).take(PROBLEMS_LIMIT).map(|error| problem(&error)).collect();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::ConfigSchema { problems }) }
}

fn problem(error: &ValidationError<'_>) -> ConfigProblem {
    let mut path = String::new();
    for step in error.instance_path().as_str().split('/').skip(1) {
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
    ConfigProblem { path, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{
        "type": "object",
        "properties": {
            "cost": { "type": "integer", "minimum": 1 },
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
        assert!(at("cost").unwrap().contains("minimum"), "{problems:?}");
        assert!(at("rules[1]").unwrap().contains("name"), "{problems:?}");
    }

    #[test]
    fn unknown_keys_are_named() {
        assert!(problems(&json!({ "cots": 1 }))[0].message.contains("cots"));
    }

    #[test]
    fn a_schema_that_is_none_is_the_plugins_fault() {
        for schema in ["{", r#"{ "type": "thing" }"#, r#"{ "$ref": "https://example.com/schema.json" }"#] {
            assert!(matches!(check(schema, &json!({})), Err(LoadError::Schema { .. })), "{schema}");
        }
    }
}
