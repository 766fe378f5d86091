//! The Perl of test files, as far as they use it to write down values.
//!
//! `--- section eval` holds an expression, or some statements that end in one: strings and patterns, concatenation,
//! repetition, lists, conditions on versions, a loop that numbers header fields. That much is read here; anything else
//! is [`Unsupported`], and the case that holds it is not translated.

mod eval;
mod parse;
mod quote;

use std::collections::BTreeMap;

use super::text::Text;
pub use eval::Scope;

/// A value of Perl.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Undefined,
    Text(Text),
    Pattern { pattern: Text, flags: String },
    List(Vec<Value>),
    Table(BTreeMap<Text, Value>),
}

/// What stands in a test file is more than is understood here; says what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Perl code that is not understood: {0}")]
pub struct Unsupported(pub String);

impl Value {
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// As text; a pattern as one that can stand within another.
    pub fn to_text(&self) -> Result<Text, Unsupported> {
        match self {
            Self::Undefined => Ok(String::new()),
            Self::Text(text) => Ok(text.clone()),
            Self::Pattern { pattern, flags } if flags.is_empty() => Ok(format!("(?:{pattern})")),
            Self::Pattern { pattern, flags } => Ok(format!("(?{flags}:{pattern})")),
            Self::List(_) | Self::Table(_) => Err(Unsupported("a list in the place of a text".to_owned())),
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Undefined => false,
            Self::Text(text) => !text.is_empty() && text != "0",
            _ => true,
        }
    }

    fn to_number(&self) -> f64 {
        let Self::Text(text) = self else { return 0.0 };
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
        text.get(..end).and_then(|number| number.parse().ok()).unwrap_or(0.0)
    }
}

/// Runs `code` and gives its last value.
pub fn evaluate(code: &str, scope: &mut Scope) -> Result<Value, Unsupported> {
    scope.run(&parse::program(code)?)
}

/// Runs the statements of a file's preamble that can be understood, and passes over the others.
pub fn evaluate_preamble(code: &str, scope: &mut Scope) {
    scope.recording = true;
    for statement in parse::statements_leniently(code) {
        // What is not understood leaves a variable undefined; a case that uses it is then not translated.
        let _ = scope.run(&[statement]);
    }
    scope.recording = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(code: &str) -> Result<Value, Unsupported> {
        let mut scope = Scope::default();
        scope.set("HtmlDir", Value::text("/html"));
        scope.set("Version", Value::text("2"));
        scope.environment.insert("PORT".to_owned(), "11211".to_owned());
        evaluate(code, &mut scope)
    }

    fn text(code: &str) -> String {
        value(code).unwrap().to_text().unwrap()
    }

    #[test]
    fn strings_are_read_with_their_escapes_and_variables() {
        assert_eq!(text(r#""a\x01\xff\x{41}\r\n\$x""#), "a\u{1}\u{ff}A\r\n$x");
        assert_eq!(text(r"'a\n\'b'"), r"a\n'b");
        assert_eq!(text(r#"qq{path '$::HtmlDir/?.lua' {nested};}"#), "path '/html/?.lua' {nested};");
        assert_eq!(text(r#""p:$ENV{PORT}.""#), "p:11211.");
        assert_eq!(text("q/a'b/"), "a'b");
    }

    #[test]
    fn operators_and_functions_that_cases_use() {
        assert_eq!(text(r#""ab" x 3 . "c""#), "abababc");
        assert_eq!(text(r#"("a" x 2) . "\n""#), "aa\n");
        assert_eq!(text(r#"$Version == 2 ? "two" : "other""#), "two");
        assert_eq!(
            text(
                r#"# why
            $Version >= 3 ? "three" : "less""#
            ),
            "less"
        );
        assert_eq!(text(r#"CORE::join "\n", map { "H$_: v-$_" } 1..3"#), "H1: v-1\nH2: v-2\nH3: v-3");
        assert_eq!(text(r#"my $s = "A"; my $i = 1; while ($i <= 2) { $s .= "X$i "; $i++; } $s"#), "AX1 X2 ");
        assert_eq!(text(r#"if (defined $ENV{NO}) { "a" } else { "b" }"#), "b");
    }

    #[test]
    fn lists_patterns_and_tables() {
        let Value::List(list) =
            value(r#"["a\n", qr/b(\d+)\/$/i, undef, {value => "x", delay_before => 0.5},]"#).unwrap()
        else {
            panic!("a list")
        };
        assert_eq!(list[0], Value::text("a\n"));
        assert_eq!(list[1], Value::Pattern { pattern: "b(\\d+)/$".to_owned(), flags: "i".to_owned() });
        assert_eq!(list[2], Value::Undefined);
        assert!(matches!(&list[3], Value::Table(table) if table["delay_before"] == Value::text("0.5")));
        assert_eq!(value("qr#a/b#").unwrap(), Value::Pattern { pattern: "a/b".to_owned(), flags: String::new() });
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for code in ["sub { 1 }", "system('ls')", "$x =~ s/a/b/", "\"abc", "`ls`", "open my $f, '<', 'x'"] {
            assert!(value(code).is_err(), "{code}");
        }
        assert!(value("$Unknown").unwrap() == Value::Undefined);
    }

    #[test]
    fn loops_end() {
        assert!(value("my $i = 1; while ($i) { $i++; }").is_err());
        assert!(value("\"aaaaaaaaaa\" x 1000000000").is_err());
    }

    #[test]
    fn preambles_set_variables_and_the_rest_is_passed_over() {
        let mut scope = Scope::default();
        evaluate_preamble(
            "use Foo;\nrepeat_each(2);\nour $A = 'x';\nif ($y) { plan(1); } else { our $B = 1; }\n\
             our $Text = <<'_EOC_';\nline $one\n_EOC_\n$ENV{P} ||= 80;\nsub f { my $x = shift; return <$in>; }\nour $C = qq{$A};\n",
            &mut scope,
        );
        assert_eq!(scope.get("A"), Value::text("x"));
        assert_eq!(scope.get("C"), Value::text("x"));
        assert_eq!(scope.get("Text"), Value::text("line $one\n"));
        assert_eq!(scope.environment["P"], "80");
        assert_eq!(scope.calls("repeat_each"), Some(&[Value::text("2")][..]));
    }
}
