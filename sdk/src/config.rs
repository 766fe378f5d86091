//! From a stage's configuration to the plugin.

use crate::{ConfigError, Plugin};

/// Reads a configuration and makes the plugin, as the host has it done in each new instance.
pub(crate) fn configure<P: Plugin>(json: &str) -> Result<P, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // Keeping track of the path costs 3 to 5 percent of a component's size. It cannot be told from the position of the
    // error: what a type says after it has read its string is found only at the end of the table around it.
    let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path();
        let problem = problem(error.inner());
        if path.iter().next().is_none() { problem.into() } else { ConfigError::at(&path.to_string(), problem) }
    })?;
    deserializer.end().map_err(|error| problem(&error))?;
    P::configure(config)
}

/// The message without its position, which is one in JSON that the operator never wrote.
fn problem(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::HeaderName;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors")]
    struct Config {
        header: HeaderName,
        note: Option<String>,
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors")]
    struct Rule {
        cost: u32,
        #[serde(default)]
        names: Vec<HeaderName>,
    }

    #[derive(Debug)]
    struct Sample(Config);

    impl Plugin for Sample {
        const NAME: &'static str = "sample";
        const VERSION: &'static str = "1.0.0";
        const SUMMARY: &'static str = "A sample";
        type Config = Config;

        fn configure(config: Config) -> Result<Self, ConfigError> {
            if config.rules.len() > 2 { Err(ConfigError::at("rules", "expected at most 2")) } else { Ok(Self(config)) }
        }
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(configure::<Sample>(json).unwrap_err().to_string(), expected, "{json}");
    }

    #[test]
    fn a_good_configuration_makes_a_plugin() {
        let sample: Sample = configure(r#"{"header": "X-Tag", "rules": [{"cost": 1}]}"#).unwrap();
        assert_eq!((sample.0.header.as_str(), sample.0.rules.len()), ("x-tag", 1));
    }

    #[test]
    fn a_wrong_value_is_told_with_the_path_of_its_key() {
        check(r#"{"header": 1}"#, "header: invalid type: integer `1`, expected a string");
        check(r#"{"header": {"a": 1}}"#, "header: invalid type: map, expected a string");
        check(r#"{"header":"x y"}"#, "header: expected a header name such as `x-name`, not \"x y\"");
        let rules = |rules: &str| format!(r#"{{"note": "a \"quoted, {{note\\", "header": "x", "rules": {rules}}}"#);
        let cost = "rules[1].cost: invalid type: string \"1\", expected u32";
        check(&rules(r#"[{"cost": 1}, {"cost": "1"}]"#), cost);
        check(&rules(r#"[{"cost":1},{"cost":"1","names":[]}]"#), cost);
        check(&rules("[{\"cost\": 1},\n\n  {\"cost\":\n \"1\"}]"), cost);
        check(&rules(r#"[{"cost": -1}]"#), "rules[0].cost: invalid value: integer `-1`, expected u32");
        let name = "rules[0].names[1]: expected a header name such as `x-name`, not \"\"";
        check(&rules(r#"[{"cost": 1, "names": ["a", ""]}]"#), name);
        check(&rules("7"), "rules: invalid type: integer `7`, expected a sequence");
    }

    #[test]
    fn a_key_too_many_or_too_few_is_told_with_the_path_of_its_table() {
        check("{}", "missing field `header`");
        check(r#"{"header": "x", "rules": [{"names": ["a"]}]}"#, "rules[0]: missing field `cost`");
        let unknown = "heder: unknown field `heder`, expected one of `header`, `note`, `rules`";
        check(r#"{"heder": "x"}"#, unknown);
        let nested = "rules[0].price: unknown field `price`, expected `cost` or `names`";
        check(r#"{"header": "x", "rules": [{"price": 1}]}"#, nested);
    }

    #[test]
    fn what_is_wrong_with_the_whole_has_no_path() {
        check("[]", "invalid length 0, expected struct Config with 3 elements");
        check("7", "invalid type: integer `7`, expected struct Config");
    }

    #[test]
    fn the_plugins_own_errors_come_through() {
        let rules = r#"{"header": "x", "rules": [{"cost": 1}, {"cost": 1}, {"cost": 1}]}"#;
        check(rules, "rules: expected at most 2");
    }
}
