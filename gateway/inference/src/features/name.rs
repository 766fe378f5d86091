//! Names of numbers, which columns of training data have, and inputs of graphs that were made of such.
//!
//! LightGBM takes no `"`, `,`, `:`, `[`, `]`, `{` or `}` in the name of a column, XGBoost no `[`, `]` or `<`, and skl2onnx puts
//! `_` in the place of everything but letters and digits when it makes an input of a column. So there is nothing else in them.

use std::collections::HashMap;

/// A text as a name: each run of other characters than ASCII letters and digits is one `_`, and there is none at the ends.
/// Names that only differ in such characters are the same name.
pub fn plain(text: &str) -> String {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Gives names that are all different.
#[derive(Debug, Default)]
pub(super) struct Names {
    labels: HashMap<String, usize>,
    /// Those that are taken, with the count that the next one like it is given.
    taken: HashMap<String, usize>,
}

impl Names {
    /// The label of a feature, with how often there was the same if there was.
    pub(super) fn label(&mut self, label: String) -> String {
        let times = self.labels.entry(label.clone()).or_default();
        *times += 1;
        if *times > 1 { format!("{label} {times}") } else { label }
    }

    /// The name of one of a feature's numbers: the first that is free with `_2`, `_3` and so on behind it, if need be.
    pub(super) fn number(&mut self, label: &str, suffix: &str) -> String {
        let name = plain(&format!("{label} {suffix}"));
        let mut count = self.taken.get(&name).copied().unwrap_or(1);
        let mut free = name.clone();
        while self.taken.contains_key(&free) {
            count += 1;
            free = format!("{name}_{count}");
        }
        self.taken.insert(name, count);
        self.taken.entry(free.clone()).or_insert(1);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_and_single_underscores() {
        for (text, name) in [
            ("characters(query, decode=2, punctuation, share)", "characters_query_decode_2_punctuation_share"),
            ("equals(header:user-agent)[curl/8]", "equals_header_user_agent_curl_8"),
            ("json(/user/äge)", "json_user_ge"),
            ("length_path_", "length_path"),
            ("", ""),
        ] {
            assert_eq!(plain(text), name);
            assert_eq!(plain(&plain(text)), name, "once is enough");
        }
    }

    #[test]
    fn no_two_numbers_have_the_same_name() {
        let mut names = Names::default();
        let label = names.label("equals(path)".to_owned());
        let of_words = ["[/a/b]", "[/a-b]", "[2]", "[]", "[ä]"].map(|suffix| names.number(&label, suffix));
        assert_eq!(of_words, ["equals_path_a_b", "equals_path_a_b_2", "equals_path_2", "equals_path", "equals_path_3"]);
        let label = names.label("equals(path)".to_owned());
        assert_eq!(names.number(&label, "[/a/b]"), "equals_path_2_a_b");
    }
}
