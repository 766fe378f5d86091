//! From Perl's text to statements and expressions.

use super::super::text::Text;
use super::Unsupported;
use super::quote::{Piece, delimited, interpolated, literal, name};

#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Expression(Expression),
    /// `my $x = …`, `$x .= …` and so on; the operator without its `=`.
    Assign {
        target: Target,
        operator: &'static str,
        value: Expression,
    },
    If {
        branches: Vec<(Expression, Vec<Statement>)>,
        otherwise: Vec<Statement>,
    },
    While {
        condition: Expression,
        body: Vec<Statement>,
    },
    For {
        variable: Text,
        list: Expression,
        body: Vec<Statement>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Variable(Text),
    List(Text),
    Environment(Text),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Pieces(Vec<Piece>),
    Pattern(Vec<Piece>, String),
    Number(Text),
    Undefined,
    Variable(Text),
    ListVariable(Text),
    Environment(Text),
    /// `[…]`
    List(Vec<Expression>),
    /// `(…)` or the arguments of a function.
    Several(Vec<Expression>),
    Table(Vec<(Expression, Expression)>),
    Binary(&'static str, Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Defined(Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    Increment(Text),
    Map(Box<Expression>, Box<Expression>),
    Call(Text, Vec<Expression>),
}

/// All statements of `code`.
pub fn program(code: &str) -> Result<Vec<Statement>, Unsupported> {
    let mut parser = Parser::new(code);
    let statements = parser.statements()?;
    parser.skip_blanks();
    if parser.rest.is_empty() { Ok(statements) } else { Err(parser.unexpected()) }
}

/// Those statements of `code` that can be read.
pub fn statements_leniently(code: &str) -> Vec<Statement> {
    let mut parser = Parser::new(code);
    let mut statements = Vec::new();
    loop {
        parser.skip_blanks();
        if parser.rest.is_empty() {
            return statements;
        }
        let before = parser.rest;
        match parser.statement() {
            Ok(Some(statement)) => statements.push(statement),
            Ok(None) => {}
            Err(_) => {
                parser.heredoc = None;
                parser.rest = next_statement(before);
            }
        }
    }
}

/// After the line that ends a statement which is not understood: `;` or `}` at the start of a line for what begins with a block.
fn next_statement(rest: &str) -> &str {
    let block = ["sub ", "BEGIN", "if ", "if(", "while ", "add_block_preprocessor", "add_cleanup_handler"];
    let block = block.iter().any(|word| rest.starts_with(word));
    let mut passed = 0;
    for line in rest.split_inclusive('\n') {
        passed += line.len();
        let whole = passed == line.len() && line.trim_end().ends_with('}');
        let end = if block {
            whole || line.starts_with('}') && !line.contains("else")
        } else {
            line.trim_end().ends_with(';')
        };
        if end {
            break;
        }
    }
    rest.get(passed..).unwrap_or_default()
}

struct Parser<'a> {
    rest: &'a str,
    /// Where the code goes on after this line, if a heredoc was begun on it.
    heredoc: Option<&'a str>,
}

/// Binary operators, the loosest first. Words must not run into a name.
const OPERATORS: [&[&str]; 5] =
    [&["||", "//"], &["&&"], &["==", "!=", ">=", "<=", ">", "<", "eq", "ne"], &[".", "+", "-"], &["x"]];

impl<'a> Parser<'a> {
    fn new(code: &'a str) -> Self {
        Self { rest: code, heredoc: None }
    }

    fn unexpected(&self) -> Unsupported {
        Unsupported(format!("`{}`", self.rest.lines().next().unwrap_or_default().chars().take(60).collect::<String>()))
    }

    /// Passes over white space, comments, and the text of heredocs at the end of a line.
    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r']);
            if let Some(comment) = trimmed.strip_prefix('#') {
                self.rest = comment.get(comment.find('\n').unwrap_or(comment.len())..).unwrap_or_default();
            } else if let Some(after) = trimmed.strip_prefix('\n') {
                self.rest = self.heredoc.take().unwrap_or(after);
            } else {
                self.rest = trimmed;
                return;
            }
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let Some(after) = self.rest.strip_prefix(token) else { return false };
        let word = token.ends_with(|c: char| c.is_ascii_alphanumeric());
        if word && after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = after;
        true
    }

    fn expect(&mut self, token: &str) -> Result<(), Unsupported> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn statements(&mut self) -> Result<Vec<Statement>, Unsupported> {
        let mut statements = Vec::new();
        loop {
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return Ok(statements);
            }
            statements.extend(self.statement()?);
        }
    }

    fn block(&mut self) -> Result<Vec<Statement>, Unsupported> {
        self.expect("{")?;
        let statements = self.statements()?;
        self.expect("}")?;
        Ok(statements)
    }

    fn parenthesis(&mut self) -> Result<Expression, Unsupported> {
        self.expect("(")?;
        let expression = self.expression()?;
        self.expect(")")?;
        Ok(expression)
    }

    /// `None` for an empty one.
    fn statement(&mut self) -> Result<Option<Statement>, Unsupported> {
        if self.take(";") {
            return Ok(None);
        }
        if self.take("if") {
            let mut branches = vec![(self.parenthesis()?, self.block()?)];
            while self.take("elsif") {
                branches.push((self.parenthesis()?, self.block()?));
            }
            let otherwise = if self.take("else") { self.block()? } else { Vec::new() };
            return Ok(Some(Statement::If { branches, otherwise }));
        }
        if self.take("while") {
            return Ok(Some(Statement::While { condition: self.parenthesis()?, body: self.block()? }));
        }
        if self.take("for") || self.take("foreach") {
            let _ = self.take("my");
            self.expect("$")?;
            let variable = self.name()?;
            self.expect("(")?;
            let list = Expression::Several(self.list(")")?);
            return Ok(Some(Statement::For { variable, list, body: self.block()? }));
        }
        let declared = self.take("our") || self.take("my") || self.take("local");
        let statement = self.assignment(declared)?;
        self.skip_blanks();
        if !(self.take(";") || self.rest.is_empty() || self.rest.starts_with('}')) {
            return Err(self.unexpected());
        }
        Ok(Some(statement))
    }

    fn assignment(&mut self, declared: bool) -> Result<Statement, Unsupported> {
        self.skip_blanks();
        let before = self.rest;
        if let Some(target) = self.target() {
            for (token, operator) in [("||=", "||"), (".=", "."), ("+=", "+"), ("=", "")] {
                if !self.rest.trim_start().starts_with("==") && self.take(token) {
                    let value = self.expression()?;
                    return Ok(Statement::Assign { target, operator, value });
                }
            }
            if declared {
                let value = Expression::Undefined;
                return Ok(Statement::Assign { target, operator: "", value });
            }
        }
        self.rest = before;
        Ok(Statement::Expression(self.expression()?))
    }

    fn target(&mut self) -> Option<Target> {
        let list = self.rest.strip_prefix('@');
        let rest = list.or_else(|| self.rest.strip_prefix('$'))?;
        if let Some(key) = rest.strip_prefix("ENV{") {
            let (key, after) = key.split_once('}')?;
            self.rest = after;
            return Some(Target::Environment(key.trim_matches(['\'', '"']).to_owned()));
        }
        let (variable, after) = name(rest);
        if variable.is_empty() {
            return None;
        }
        self.rest = after;
        let variable = variable.to_owned();
        Some(if list.is_some() { Target::List(variable) } else { Target::Variable(variable) })
    }

    fn name(&mut self) -> Result<Text, Unsupported> {
        self.skip_blanks();
        let (found, after) = name(self.rest);
        if found.is_empty() {
            return Err(self.unexpected());
        }
        self.rest = after;
        Ok(found.to_owned())
    }

    fn expression(&mut self) -> Result<Expression, Unsupported> {
        let condition = self.binary(0)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.expect(":")?;
        let no = self.expression()?;
        Ok(Expression::Choice(Box::new(condition), Box::new(yes), Box::new(no)))
    }

    fn binary(&mut self, level: usize) -> Result<Expression, Unsupported> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        'next: loop {
            self.skip_blanks();
            for operator in *operators {
                let longer = [".=", "..", "++", "--", "->", "=>", "=~", "+=", "-=", "||="];
                if longer.iter().any(|other| self.rest.starts_with(other)) {
                    break;
                }
                if self.take(operator) {
                    let right = self.binary(level + 1)?;
                    left = Expression::Binary(operator, Box::new(left), Box::new(right));
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Result<Expression, Unsupported> {
        if self.take("!") {
            return Ok(Expression::Not(Box::new(self.unary()?)));
        }
        if self.take("defined") {
            return Ok(Expression::Defined(Box::new(self.unary()?)));
        }
        self.primary()
    }

    /// Expressions up to `close`, which is taken, separated by commas or arrows.
    fn list(&mut self, close: &str) -> Result<Vec<Expression>, Unsupported> {
        let mut list = Vec::new();
        while !self.take(close) {
            let item = self.expression()?;
            let item = if self.take("..") {
                Expression::Binary("..", Box::new(item), Box::new(self.expression()?))
            } else {
                item
            };
            list.push(item);
            if !(self.take(",") || self.take("=>")) {
                self.expect(close)?;
                break;
            }
        }
        Ok(list)
    }

    /// The arguments of a function without parentheses.
    fn bare_list(&mut self) -> Result<Vec<Expression>, Unsupported> {
        let mut list = Vec::new();
        loop {
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with([';', ')', '}', ']']) {
                return Ok(list);
            }
            let item = self.expression()?;
            let item = if self.take("..") {
                Expression::Binary("..", Box::new(item), Box::new(self.expression()?))
            } else {
                item
            };
            list.push(item);
            if !self.take(",") {
                return Ok(list);
            }
        }
    }

    fn primary(&mut self) -> Result<Expression, Unsupported> {
        self.skip_blanks();
        let rest = self.rest;
        let first = rest.chars().next().ok_or_else(|| Unsupported("no expression".to_owned()))?;
        match first {
            '"' => {
                let (inner, after, close) =
                    delimited(rest).ok_or_else(|| Unsupported("a string without end".to_owned()))?;
                self.rest = after;
                Ok(Expression::Pieces(interpolated(inner, close, false)?))
            }
            '\'' => {
                let (inner, after, close) =
                    delimited(rest).ok_or_else(|| Unsupported("a string without end".to_owned()))?;
                self.rest = after;
                Ok(Expression::Pieces(vec![Piece::Text(literal(inner, close))]))
            }
            '0'..='9' => {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
                // `1..3` is a range.
                let end = rest.find("..").map_or(end, |range| range.min(end));
                let (number, after) = rest.split_at(end);
                self.rest = after;
                Ok(Expression::Number(number.to_owned()))
            }
            '[' => {
                self.rest = rest.get(1..).unwrap_or_default();
                Ok(Expression::List(self.list("]")?))
            }
            '(' => {
                self.rest = rest.get(1..).unwrap_or_default();
                Ok(Expression::Several(self.list(")")?))
            }
            '{' => {
                self.rest = rest.get(1..).unwrap_or_default();
                let items = self.list("}")?;
                let pairs = items.chunks(2).filter_map(|pair| match pair {
                    [key, value] => Some((key.clone(), value.clone())),
                    _ => None,
                });
                Ok(Expression::Table(pairs.collect()))
            }
            '$' | '@' => self.variable(),
            '<' if rest.starts_with("<<") => self.heredoc(),
            _ => self.word(),
        }
    }

    fn variable(&mut self) -> Result<Expression, Unsupported> {
        let unexpected = self.unexpected();
        Ok(match self.target().ok_or(unexpected)? {
            Target::Environment(key) => Expression::Environment(key),
            Target::List(name) => Expression::ListVariable(name),
            Target::Variable(name) => {
                if self.rest.starts_with(['[', '{']) || self.rest.starts_with("->") {
                    return Err(self.unexpected());
                }
                if self.rest.starts_with("++") {
                    self.rest = self.rest.get(2..).unwrap_or_default();
                    return Ok(Expression::Increment(name));
                }
                Expression::Variable(name)
            }
        })
    }

    fn heredoc(&mut self) -> Result<Expression, Unsupported> {
        let rest = self.rest.get(2..).unwrap_or_default();
        let (mark, after) = match rest.chars().next() {
            Some('\'' | '"') => delimited(rest).map(|(inner, after, _)| (inner, after)),
            _ => Some(name(rest)).filter(|(mark, _)| !mark.is_empty()),
        }
        .ok_or_else(|| self.unexpected())?;
        let line_end = after.find('\n').ok_or_else(|| self.unexpected())?;
        let body = after.get(line_end + 1..).unwrap_or_default();
        let mut length = 0;
        for line in body.split_inclusive('\n') {
            if line.trim_end_matches('\n') == mark {
                let text = body.get(..length).unwrap_or_default();
                self.rest = after;
                self.heredoc = Some(body.get(length + line.len()..).unwrap_or_default());
                let literally = rest.starts_with('\'');
                let pieces =
                    if literally { vec![Piece::Text(text.to_owned())] } else { interpolated(text, '\0', false)? };
                return Ok(Expression::Pieces(pieces));
            }
            length += line.len();
        }
        Err(self.unexpected())
    }

    fn word(&mut self) -> Result<Expression, Unsupported> {
        let unexpected = self.unexpected();
        let word = self.name()?;
        let quoted = matches!(word.as_str(), "q" | "qq" | "qr");
        if quoted {
            let (inner, after, close) = delimited(self.rest).ok_or(unexpected)?;
            self.rest = after;
            return Ok(match word.as_str() {
                "q" => Expression::Pieces(vec![Piece::Text(literal(inner, close))]),
                "qq" => Expression::Pieces(interpolated(inner, close, false)?),
                _ => {
                    let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
                    let (flags, after) = after.split_at(end);
                    self.rest = after;
                    Expression::Pattern(interpolated(inner, close, true)?, flags.to_owned())
                }
            });
        }
        match word.as_str() {
            "undef" => return Ok(Expression::Undefined),
            "map" => {
                self.expect("{")?;
                let body = self.expression()?;
                self.expect("}")?;
                let _ = self.take(",");
                let list = Expression::Several(self.bare_list()?);
                return Ok(Expression::Map(Box::new(body), Box::new(list)));
            }
            "sub" | "open" | "local" | "use" | "do" | "eval" | "qx" | "qw" | "require" | "package" | "return" => {
                return Err(unexpected);
            }
            _ => {}
        }
        self.skip_blanks();
        if self.rest.starts_with("=>") {
            return Ok(Expression::Pieces(vec![Piece::Text(word)]));
        }
        let arguments = if self.take("(") { self.list(")")? } else { self.bare_list()? };
        Ok(Expression::Call(word, arguments))
    }
}
