//! An output of a model, or one element of it.

use super::Kind;
use crate::OutputElement;
use crate::node::Node;
use crate::source::Read;

/// `"score"` or `"probabilities[1]"`.
pub(crate) struct Output;

impl Kind for Output {
    type Value = OutputElement;

    fn expected(&self) -> String {
        "the name of an output, or one element of it such as \"probabilities[1]\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<OutputElement> {
        node.text()
            .and_then(parse)
            .ok_or_else(|| node.wrong(&self.expected(), "`witgate model inspect FILE` lists the outputs of a model"))
    }
}

fn parse(text: &str) -> Option<OutputElement> {
    let (name, element) = match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        Some((name, element)) => (name, Some(element.parse().ok()?)),
        None => (text, None),
    };
    (!name.is_empty()).then(|| OutputElement { name: name.to_owned(), element })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_a_number_in_brackets() {
        let output = |name: &str, element| Some(OutputElement { name: name.to_owned(), element });
        assert_eq!(parse("score"), output("score", None));
        assert_eq!(parse("p[1]"), output("p", Some(1)));
        assert_eq!(parse("a[b][0]"), output("a[b]", Some(0)));
        for text in ["", "[1]", "p[]", "p[-1]", "p[x]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
