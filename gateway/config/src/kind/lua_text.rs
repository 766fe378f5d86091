//! Lua code in the file itself.

use super::Kind;
use crate::LuaSource;
use crate::node::Node;
use crate::source::Read;

/// A chunk of Lua. Whether it can be compiled shows when it is loaded.
pub(crate) struct LuaText;

impl Kind for LuaText {
    type Value = LuaSource;

    fn expected(&self) -> String {
        "a chunk of Lua".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<LuaSource> {
        match node.text().filter(|text| !text.trim().is_empty()) {
            Some(text) => {
                let lines = lines(node.source.from(node.offset), node.spot().line);
                Ok(LuaSource { text: text.to_owned(), lines })
            }
            None => Err(node.wrong(&self.expected(), "write it as a string, with ''' around more than one line")),
        }
    }
}

/// The line of the file that each line of a string stands in. `literal` begins with the string as it is written, which the
/// parser has taken, in that line.
fn lines(literal: &str, first: usize) -> Vec<usize> {
    let (quotes, escapes) = match literal {
        _ if literal.starts_with("'''") => ("'''", false),
        _ if literal.starts_with("\"\"\"") => ("\"\"\"", true),
        _ if literal.starts_with('\'') => ("'", false),
        _ => ("\"", true),
    };
    let mut line = first;
    let mut rest = literal.get(quotes.len()..).unwrap_or_default();
    if quotes.len() == 3
        && let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))
    {
        rest = after;
        line += 1;
    }
    let mut lines = vec![line];
    // Whether there is something of the last line yet.
    let mut is_begun = false;
    while !rest.starts_with(quotes) {
        let mut letters = rest.chars();
        match letters.next() {
            None => break,
            Some('\n') => {
                line += 1;
                lines.push(line);
                is_begun = false;
            }
            Some('\\') if escapes => match letters.next() {
                Some('n') => {
                    lines.push(line);
                    is_begun = false;
                }
                // The end of a line and what begins the next one are left out.
                Some(letter) if letter.is_ascii_whitespace() => {
                    let kept = letters.as_str().trim_start_matches([' ', '\t', '\r', '\n']);
                    let skipped = letters.as_str().len() - kept.len();
                    let skipped = letters.as_str().get(..skipped).unwrap_or_default();
                    line += usize::from(letter == '\n') + skipped.matches('\n').count();
                    letters = kept.chars();
                    if let Some(last) = lines.last_mut().filter(|_| !is_begun) {
                        *last = line;
                    }
                }
                _ => is_begun = true,
            },
            Some(_) => is_begun = true,
        }
        rest = letters.as_str();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_of_code_are_found_in_the_file() {
        for (literal, expected) in [
            ("'a' # b\n", vec![7]),
            ("\"a\\nb\\\\n\\\"\\n\" x\n", vec![7, 7, 7]),
            ("'''a\nb\n'''\n", vec![7, 8, 9]),
            ("'''\na\n\nb''' # '''\n", vec![8, 9, 10]),
            ("'''\r\na\r\nb'''\r\n", vec![8, 9]),
            ("\"\"\"\na\\\n  \n  b\nc\\n\"d\" \"\"\"\n", vec![8, 11, 11]),
            ("\"\"\"\\\n  a\nb\"\"\"\n", vec![8, 9]),
            ("\"\"\"a \\\"\"\" b\"\"\"\n\n", vec![7]),
            ("'", vec![7]),
        ] {
            assert_eq!(lines(literal, 7), expected, "{literal}");
        }
    }
}
