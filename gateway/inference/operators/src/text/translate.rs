//! Patterns of RE2 as Rust's engines write them.

use regex_syntax::ast::{self, Ast, ClassPerlKind, ClassSetItem, FlagsItemKind, Visitor};

use super::pattern::{NEST_LIMIT, PatternError};

/// A pattern that means to Rust's engines what the original means.
pub(super) struct Translated {
    pub text: String,
    /// Whether the longest match counts, and it may be longer than the first.
    pub is_longest: bool,
    /// Whether a search knows a match when it has read the letter behind it.
    pub is_local: bool,
}

pub(super) fn translate(text: &str) -> Result<Translated, PatternError> {
    const WORD: &str = r"[\p{L}\p{N}_]";
    match text {
        r"(?u)\b\w+\b" => return Ok(Translated { text: format!("{WORD}+"), is_longest: false, is_local: true }),
        r"(?u)\b\w\w+\b" => return Ok(Translated { text: format!("{WORD}{{2,}}"), is_longest: false, is_local: true }),
        _ => {}
    }
    let parsed = ast::parse::ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(text);
    let parsed =
        parsed.map_err(|error| PatternError::Syntax(format!("at {}: {}", error.span().start.offset, error.kind())))?;
    let rewrite = Rewrite { is_unicode: text.starts_with("(?u)"), replacements: Vec::new() };
    let replacements = ast::visit(&parsed, rewrite)?;
    let (mut made, mut from) = (String::with_capacity(text.len()), 0);
    for (start, end, replacement) in replacements {
        made.push_str(text.get(from..start).unwrap_or_default());
        made.push_str(replacement);
        from = end;
    }
    made.push_str(text.get(from..).unwrap_or_default());
    // Python takes the first match. A class that repeats greedily matches as long as it can anyway.
    let is_simple = match &parsed {
        Ast::Repetition(repetition) => {
            repetition.greedy && matches!(*repetition.ast, Ast::ClassBracketed(_) | Ast::ClassPerl(_) | Ast::Literal(_))
        }
        Ast::ClassBracketed(_) | Ast::ClassPerl(_) | Ast::Literal(_) | Ast::Dot(_) => true,
        _ => false,
    };
    Ok(Translated { text: made, is_longest: !text.starts_with("(?u)") && !is_simple, is_local: is_simple })
}

/// Collects what is to be written otherwise: from, to, and what.
struct Rewrite {
    is_unicode: bool,
    replacements: Vec<(usize, usize, &'static str)>,
}

impl Rewrite {
    fn replace(&mut self, span: &ast::Span, replacement: &'static str) {
        self.replacements.push((span.start.offset, span.end.offset, replacement));
    }

    fn perl(&mut self, class: &ast::ClassPerl) {
        let replacement = match (&class.kind, class.negated, self.is_unicode) {
            (ClassPerlKind::Digit, false, false) => "[0-9]",
            (ClassPerlKind::Digit, true, false) => "[^0-9]",
            (ClassPerlKind::Space, false, false) => r"[\t\n\x0c\r\x20]",
            (ClassPerlKind::Space, true, false) => r"[^\t\n\x0c\r\x20]",
            (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true, false) => "[^0-9A-Za-z_]",
            (ClassPerlKind::Digit, false, true) => r"\p{Nd}",
            (ClassPerlKind::Digit, true, true) => r"\P{Nd}",
            (ClassPerlKind::Space, false, true) => r"[\p{White_Space}\x1c-\x1f]",
            (ClassPerlKind::Space, true, true) => r"[^\p{White_Space}\x1c-\x1f]",
            (ClassPerlKind::Word, false, true) => r"[\p{L}\p{N}_]",
            (ClassPerlKind::Word, true, true) => r"[^\p{L}\p{N}_]",
        };
        self.replace(&class.span, replacement);
    }

    fn flags(&self, flags: &ast::Flags) -> Result<(), PatternError> {
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Flag(ast::Flag::Unicode) if !self.is_unicode => {
                    return Err(PatternError::Unknown("flag u, and Python takes it at the beginning alone"));
                }
                FlagsItemKind::Flag(ast::Flag::IgnoreWhitespace) => return Err(PatternError::Unknown("flag x")),
                FlagsItemKind::Flag(ast::Flag::CRLF) => return Err(PatternError::Unknown("flag R")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Visitor for Rewrite {
    type Output = Vec<(usize, usize, &'static str)>;
    type Err = PatternError;

    fn finish(self) -> Result<Self::Output, PatternError> {
        Ok(self.replacements)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        match ast {
            Ast::ClassPerl(class) => self.perl(class),
            Ast::Flags(set) => return self.flags(&set.flags),
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    return self.flags(flags);
                }
            }
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::WordBoundary | ast::AssertionKind::NotWordBoundary if self.is_unicode => {
                    return Err(PatternError::Boundary);
                }
                ast::AssertionKind::WordBoundary => self.replace(&assertion.span, r"(?-u:\b)"),
                ast::AssertionKind::NotWordBoundary => self.replace(&assertion.span, r"(?-u:\B)"),
                ast::AssertionKind::StartLine
                | ast::AssertionKind::EndLine
                | ast::AssertionKind::StartText
                | ast::AssertionKind::EndText => {}
                _ => return Err(PatternError::Unknown("boundaries of the beginning or end of words")),
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), PatternError> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class),
            ClassSetItem::Bracketed(_) => return Err(PatternError::Unknown("classes within classes")),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _operation: &ast::ClassSetBinaryOp) -> Result<(), PatternError> {
        Err(PatternError::Unknown("operations of classes"))
    }
}
