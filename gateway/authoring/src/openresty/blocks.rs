//! Test files as blocks: `=== title`, and in each `--- section filters` with its text.
//!
//! The format is that of Perl's Test::Base. Filters that change the text itself (`chomp`, `chop`, `eval`) are applied by
//! `case`, because what `eval` means depends on where the case runs.

use super::text::{Text, from_bytes};

/// A file: the Perl before its cases, and the cases.
#[derive(Debug)]
pub struct TestFile {
    pub preamble: Text,
    pub blocks: Vec<Block>,
}

/// One case as it is written.
#[derive(Debug)]
pub struct Block {
    /// From 1, in the order of the file.
    pub number: usize,
    pub title: Text,
    /// Of the title, from 1.
    pub line: usize,
    sections: Vec<Section>,
}

#[derive(Debug, Clone)]
pub struct Section {
    pub name: Text,
    pub filters: Vec<Text>,
    pub text: Text,
}

impl Block {
    /// The section of that name; of several the last, as in Perl.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().rev().find(|section| section.name == name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.section(name).is_some()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|section| section.name.as_str())
    }
}

impl TestFile {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = from_bytes(bytes);
        let (preamble, data) = match text.find("\n__DATA__\n") {
            Some(at) => text.split_at(at + 1),
            None => (text.as_str(), ""),
        };
        let first_line = preamble.lines().count() + 1;
        let mut blocks: Vec<Block> = Vec::new();
        // Whether the text stands on the section's own line: then none follows.
        let mut inline = false;
        for (index, line) in data.split_inclusive('\n').enumerate() {
            if let Some(title) = line.strip_prefix("===") {
                let title = title.trim().to_owned();
                let block = Block { number: blocks.len() + 1, title, line: first_line + index, sections: Vec::new() };
                blocks.push(block);
            } else if let Some(block) = blocks.last_mut() {
                match header(line) {
                    Some((section, has_text)) => {
                        inline = has_text;
                        block.sections.push(section);
                    }
                    None => {
                        if let Some(section) = block.sections.last_mut().filter(|_| !inline) {
                            section.text.push_str(line);
                        }
                    }
                }
            }
        }
        for section in blocks.iter_mut().flat_map(|block| &mut block.sections) {
            section.text = trimmed(&section.text);
        }
        Self { preamble: preamble.to_owned(), blocks }
    }
}

/// `--- name filters: text`, and whether there is a colon; without one the text stands on the lines below.
fn header(line: &str) -> Option<(Section, bool)> {
    let rest = line.strip_prefix("---")?.strip_prefix(' ')?.trim_start_matches(' ');
    let rest = rest.strip_suffix('\n').unwrap_or(rest);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let (filters, text, inline) = match rest.split_once(':') {
        Some((filters, text)) if text.is_empty() || text.starts_with([' ', '\t']) => (filters, text.trim(), true),
        _ => (rest, "", false),
    };
    let filters = filters.split_whitespace().map(str::to_owned).collect();
    Some((Section { name: name.to_owned(), filters, text: text.to_owned() }, inline))
}

/// Without blank lines before and after the text.
fn trimmed(text: &str) -> Text {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.ends_with('\n') || !line.trim_matches([' ', '\t', '\n']).is_empty() {
            break;
        }
        start += line.len();
    }
    let text = text.get(start..).unwrap_or_default();
    let content = text.trim_end().len();
    let end = text.get(content..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| content + at + 1);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "use Foo;\nrepeat_each(2);\n__DATA__\n\n=== TEST 1: first\na description\n--- config\n\n    location /a {\n\
                        \x20   }\n\n\n--- request\nGET /a\n--- response_body chomp\nhello\n--- error_code: 200\n\n--- more_headers: A: b\n\
                        === TEST 2: second\n--- config eval\n\"x\"\n--- SKIP\n";

    #[test]
    fn blocks_have_their_sections_with_filters_and_trimmed_text() {
        let file = TestFile::parse(FILE.as_bytes());
        assert_eq!(file.preamble, "use Foo;\nrepeat_each(2);\n");
        let [first, second] = file.blocks.as_slice() else { panic!("two blocks: {file:?}") };
        assert_eq!((first.number, first.title.as_str(), first.line), (1, "TEST 1: first", 5));
        assert_eq!(first.section("config").unwrap().text, "    location /a {\n    }\n");
        let body = first.section("response_body").unwrap();
        assert_eq!((body.text.as_str(), body.filters.as_slice()), ("hello\n", &["chomp".to_owned()][..]));
        assert_eq!(first.section("error_code").unwrap().text, "200");
        assert_eq!(first.section("more_headers").unwrap().text, "A: b");
        assert_eq!(second.section("config").unwrap().filters, ["eval"]);
        assert!(second.has("SKIP") && !first.has("SKIP"));
    }

    #[test]
    fn dashes_within_a_text_are_no_section() {
        let file = TestFile::parse(b"\n__DATA__\n=== t\n--- config\n--[[ comment ]]\n---- x\n");
        assert_eq!(file.blocks[0].section("config").unwrap().text, "--[[ comment ]]\n---- x\n");
    }
}
