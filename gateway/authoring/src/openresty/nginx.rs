//! The text of an nginx configuration as a tree of directives.

use super::text::Text;

/// One directive.
#[derive(Debug, Clone, PartialEq)]
pub struct Directive {
    pub name: Text,
    pub arguments: Vec<Text>,
    pub body: Body,
    /// From 1, in the text that was parsed: of the `;` or the `{`, as nginx counts.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// `name …;`
    None,
    /// `name … { … }`
    Block(Vec<Directive>),
    /// `name_by_lua_block { … }`: what stands between the braces.
    Lua(Text),
}

/// Where the text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the configuration: {message}")]
pub struct SyntaxError {
    pub line: usize,
    pub message: String,
}

/// Blocks within blocks: nginx's own have five levels at most.
const DEPTH_LIMIT: usize = 32;

/// Parses what stands within a context, such as the text of a `server` block.
pub fn parse(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut parser = Parser { text, at: 0, line: 1 };
    let directives = parser.directives(0)?;
    match parser.peek() {
        None => Ok(directives),
        Some(_) => Err(parser.error("a `}` too many")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

enum Token {
    Word(Text),
    Semicolon,
    Open,
    Close,
    End,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError { line: self.line, message: message.to_owned() }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.at += bytes;
    }

    fn directives(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        if depth > DEPTH_LIMIT {
            return Err(self.error("blocks are nested too deeply"));
        }
        let mut directives = Vec::new();
        loop {
            self.skip_blanks();
            let mut line = self.line;
            let name = match self.token()? {
                Token::Word(name) => name,
                Token::Semicolon => return Err(self.error("expected a directive before `;`")),
                Token::Open => return Err(self.error("expected a directive before `{`")),
                Token::Close if depth > 0 => return Ok(directives),
                Token::Close => return Err(self.error("a `}` too many")),
                Token::End if depth > 0 => return Err(self.error("a block is not closed")),
                Token::End => return Ok(directives),
            };
            let mut arguments = Vec::new();
            let body = loop {
                match self.token()? {
                    Token::Word(word) => arguments.push(word),
                    Token::Semicolon => {
                        line = self.line;
                        break Body::None;
                    }
                    Token::Open if name.ends_with("_by_lua_block") => {
                        line = self.line;
                        break Body::Lua(self.lua()?);
                    }
                    Token::Open => break Body::Block(self.directives(depth + 1)?),
                    Token::Close | Token::End => return Err(self.error(&format!("`{name}` does not end with `;`"))),
                }
            };
            directives.push(Directive { name, arguments, body, line });
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                self.advance(self.rest().find('\n').unwrap_or(self.rest().len()));
            } else if c.is_ascii_whitespace() {
                self.advance(1);
            } else {
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        self.skip_blanks();
        let Some(first) = self.peek() else { return Ok(Token::End) };
        match first {
            ';' => self.advance(1),
            '{' => self.advance(1),
            '}' => self.advance(1),
            '"' | '\'' => return self.quoted(first).map(Token::Word),
            _ => return Ok(Token::Word(self.bare())),
        }
        Ok(match first {
            ';' => Token::Semicolon,
            '{' => Token::Open,
            _ => Token::Close,
        })
    }

    fn quoted(&mut self, quote: char) -> Result<Text, SyntaxError> {
        self.advance(1);
        let mut word = Text::new();
        loop {
            let c = self.peek().ok_or_else(|| self.error("a string is not closed"))?;
            self.advance(c.len_utf8());
            if c == quote {
                return Ok(word);
            }
            if c == '\\' {
                self.escape(&mut word);
            } else {
                word.push(c);
            }
        }
    }

    /// After a backslash: quotes and backslashes stand for themselves, `t`, `r` and `n` for what they do in C; before anything else
    /// the backslash stays.
    fn escape(&mut self, word: &mut Text) {
        let Some(c) = self.peek() else {
            word.push('\\');
            return;
        };
        self.advance(c.len_utf8());
        match c {
            '"' | '\'' | '\\' => word.push(c),
            't' => word.push('\t'),
            'r' => word.push('\r'),
            'n' => word.push('\n'),
            other => word.extend(['\\', other]),
        }
    }

    fn bare(&mut self) -> Text {
        let mut word = Text::new();
        let mut braced = false;
        while let Some(c) = self.peek() {
            let ends = c.is_ascii_whitespace() || c == ';' || (c == '{' && !word.ends_with('$'));
            if ends && !braced {
                break;
            }
            self.advance(c.len_utf8());
            match c {
                '\\' => self.escape(&mut word),
                c => {
                    braced = (braced || c == '{') && c != '}';
                    word.push(c);
                }
            }
        }
        word
    }

    /// After the opening brace of a Lua block: all up to the brace that closes it, passing over Lua's strings and comments.
    fn lua(&mut self) -> Result<Text, SyntaxError> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return Err(self.error("a block of Lua is not closed")) };
            let length = match c {
                '-' if rest.starts_with("--") => comment(rest),
                '[' => long_bracket(rest).unwrap_or(1),
                '"' | '\'' => string(rest, c),
                '}' if depth == 0 => {
                    let code = self.text.get(start..self.at).unwrap_or_default().to_owned();
                    self.advance(1);
                    return Ok(code);
                }
                other => {
                    depth = match other {
                        '{' => depth + 1,
                        '}' => depth - 1,
                        _ => depth,
                    };
                    other.len_utf8()
                }
            };
            self.advance(length);
        }
    }
}

fn comment(rest: &str) -> usize {
    let after = rest.get(2..).unwrap_or_default();
    match long_bracket(after) {
        Some(length) => 2 + length,
        None => rest.find('\n').unwrap_or(rest.len()),
    }
}

/// Bytes of `[==[ … ]==]` at the start of `rest`.
fn long_bracket(rest: &str) -> Option<usize> {
    let level = rest.strip_prefix('[')?.bytes().take_while(|byte| *byte == b'=').count();
    let inner = rest.get(level + 1..)?.strip_prefix('[')?;
    let close = format!("]{}]", "=".repeat(level));
    let end = inner.find(&close).map_or(inner.len(), |at| at + close.len());
    Some(level + 2 + end)
}

/// Bytes of a string in quotes; one without an end goes to the end of its line.
fn string(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        } else if c == '\n' {
            return at;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Directive {
        let mut all = parse(text).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn directives_have_words_strings_and_blocks() {
        let location = only("location = /t {\n  # no } comment\n  set $a \"x;\\\"y\";\n  echo ${a}b c;\n}");
        assert_eq!((location.name.as_str(), location.arguments.join("|")), ("location", "=|/t".to_owned()));
        let Body::Block(inner) = location.body else { panic!("a block") };
        assert_eq!(inner[0].arguments, ["$a", "x;\"y"]);
        assert_eq!((inner[1].arguments.join("|"), inner[1].line), ("${a}b|c".to_owned(), 4));
    }

    #[test]
    fn strings_keep_backslashes_that_mean_nothing() {
        assert_eq!(only(r#"x 'a\n\d\\w\'';"#).arguments, ["a\n\\d\\w'"]);
        assert_eq!(only(r"x \d+;").arguments, [r"\d+"]);
    }

    #[test]
    fn blocks_of_lua_end_at_their_own_brace() {
        let code = "\n local t = { '}', \"\\\"}\" } -- }\n --[[ } ]] local s = [=[ } ]=]\n if a[b[1]] then f{} end\n";
        let directive = only(&format!("content_by_lua_block {{{code}}}"));
        assert_eq!(directive.body, Body::Lua(code.to_owned()));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, line) in
            [("a b", 1), ("a {\n b;", 2), ("}", 1), ("a 'b;\n", 2), ("x_by_lua_block {\n {", 2), ("a;\n;", 2)]
        {
            assert_eq!(parse(text).map_err(|error| error.line), Err(line), "{text}");
        }
        assert!(parse(&"a {".repeat(100)).is_err());
    }
}
