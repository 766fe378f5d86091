//! An output of a model, or one element of it.

use super::Kind;
use crate::node::Node;
use crate::source::Read;
use crate::{Element, OutputElement};

/// `"score"`, `"probabilities[1]"`, `"probabilities[bot]"` or `'probabilities["1"]'`.
pub(crate) struct Output;

impl Kind for Output {
    type Value = OutputElement;

    fn expected(&self) -> String {
        "the name of an output, or a column or class of it such as \"probabilities[1]\" or \"probabilities[bot]\""
            .into()
    }

    fn read(&self, node: &Node<'_>) -> Read<OutputElement> {
        node.text()
            .and_then(parse)
            .ok_or_else(|| node.wrong(&self.expected(), "`witgate model inspect FILE` lists the outputs of a model"))
    }
}

/// In brackets stands a column's number, or a class: in quotes if it looks like a number or has brackets.
fn parse(text: &str) -> Option<OutputElement> {
    let quoted = text.strip_suffix("\"]").and_then(|text| text.split_once("[\""));
    let plain = || text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
    let (name, element) = match (quoted, plain()) {
        (Some((name, class)), _) => (name, Some(Element::Class(class.to_owned()))),
        (None, Some((_, ""))) => return None,
        (None, Some((name, number))) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(Element::Column(number.parse().ok()?)))
        }
        (None, Some((name, class))) => (name, Some(Element::Class(class.to_owned()))),
        (None, None) => (text, None),
    };
    let names_something = !matches!(&element, Some(Element::Class(class)) if class.is_empty());
    (!name.is_empty() && names_something).then(|| OutputElement { name: name.to_owned(), element })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_or_a_class_stands_in_brackets() {
        let output = |name: &str, element| Some(OutputElement { name: name.to_owned(), element });
        let class = |class: &str| Some(Element::Class(class.to_owned()));
        assert_eq!(parse("score"), output("score", None));
        assert_eq!(parse("p[1]"), output("p", Some(Element::Column(1))));
        assert_eq!(parse("a[b][0]"), output("a[b]", Some(Element::Column(0))));
        assert_eq!(parse("p[bot]"), output("p", class("bot")));
        assert_eq!(parse("p[-1]"), output("p", class("-1")));
        assert_eq!(parse("p[\"1\"]"), output("p", class("1")));
        assert_eq!(parse("p[\"a]b[c\"]"), output("p", class("a]b[c")));
        for text in ["", "[1]", "p[]", "p[\"\"]", "[bot]", "p[99999999999999999999]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
