//! One of a few words.

use super::{Kind, Shown};
use crate::nearest::did_you_mean;
use crate::node::Node;
use crate::source::Read;

/// One of the words, which stands for its value.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".into(),
        }
    }

    fn read(&self, node: &Node<'_>) -> Read<T> {
        let text = node.text().unwrap_or_default();
        let found = self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let words = self.0.iter().map(|(word, _)| *word);
            node.wrong(&self.expected(), did_you_mean(text, words, || format!("write {}", self.expected())))
        })
    }
}

impl<T: Copy + PartialEq> Shown for Choice<T> {
    fn show(&self, value: &T) -> String {
        let word = self.0.iter().find(|(_, meaning)| meaning == value).map_or("", |(word, _)| word);
        format!("\"{word}\"")
    }
}
