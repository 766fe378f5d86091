//! JSON as lua-cjson reads it: strict but for numbers, and with its errors.

/// What a document is made of, as [`read`] tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event<'a> {
    Null,
    Boolean(bool),
    Number(f64),
    /// A string that stands in the document as it is.
    Plain(&'a [u8]),
    /// A string that had escapes.
    Escaped(Vec<u8>),
    ArrayBegins,
    ArrayEnds,
    ObjectBegins,
    ObjectEnds,
}

/// What is read beside the standard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leniency {
    /// Numbers that JSON has not: hexadecimal ones, infinity, NaN, leading zeros.
    pub(crate) invalid_numbers: bool,
    pub(crate) depth_limit: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    ObjectBegins,
    ObjectEnds,
    ArrayBegins,
    ArrayEnds,
    Plain(&'a [u8]),
    Escaped(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegins => "T_OBJ_BEGIN",
            Self::ObjectEnds => "T_OBJ_END",
            Self::ArrayBegins => "T_ARR_BEGIN",
            Self::ArrayEnds => "T_ARR_END",
            Self::Plain(_) | Self::Escaped(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(message) => message,
        }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token began, or where it went wrong.
    place: usize,
    invalid_numbers: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Token<'a> {
        let blank = self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blank;
        self.place = self.at;
        let rest = self.rest();
        let Some(first) = rest.first() else { return Token::End };
        let single = match first {
            b'{' => Token::ObjectBegins,
            b'}' => Token::ObjectEnds,
            b'[' => Token::ArrayBegins,
            b']' => Token::ArrayEnds,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.invalid_numbers && is_odd(rest) {
                    return Token::Error("invalid number");
                }
                return self.number();
            }
            _ => {
                for (word, token) in
                    [(&b"null"[..], Token::Null), (b"true", Token::Boolean(true)), (b"false", Token::Boolean(false))]
                {
                    if rest.starts_with(word) {
                        self.at += word.len();
                        return token;
                    }
                }
                if self.invalid_numbers && matches!(first, b'+' | b'i' | b'I' | b'n' | b'N') && is_odd(rest) {
                    return self.number();
                }
                return Token::Error("invalid token");
            }
        };
        self.at += 1;
        single
    }

    /// As C's `strtod` reads it.
    fn number(&mut self) -> Token<'a> {
        let rest = self.rest();
        let (sign, digits) = match rest.split_first() {
            Some((b'-', digits)) => (-1.0, digits),
            Some((b'+', digits)) => (1.0, digits),
            _ => (1.0, rest),
        };
        let signed = rest.len() - digits.len();
        for (word, value) in [(&b"infinity"[..], f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)] {
            if digits.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
                self.at += signed + word.len();
                return Token::Number(sign * value);
            }
        }
        if let [b'0', b'x' | b'X', hex @ ..] = digits
            && hex.first().is_some_and(u8::is_ascii_hexdigit)
        {
            let count = hex.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let digits = hex.iter().take(count).filter_map(|byte| char::from(*byte).to_digit(16));
            let value = digits.fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit));
            self.at += signed + 2 + count;
            return Token::Number(sign * value);
        }
        let run = |from: usize| {
            digits.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = run(0);
        let mut end = whole;
        if digits.get(end) == Some(&b'.') {
            let fraction = run(end + 1);
            if whole + fraction > 0 {
                end += 1 + fraction;
            }
        }
        if end > 0 && matches!(digits.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(digits.get(end + 1), Some(b'+' | b'-')));
            let exponent = run(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let value =
            digits.get(..end).and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok());
        match value {
            Some(value) => {
                let value: f64 = value;
                self.at += signed + end;
                Token::Number(sign * value)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token<'a> {
        self.at += 1;
        let begin = self.at;
        let rest = self.rest();
        let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        // A zero ends the document for lua-cjson.
        if let Some(zero) = memchr::memchr(0, rest.get(..end).unwrap_or_default()) {
            return self.fault(begin + zero, "unexpected end of string");
        }
        match rest.get(end) {
            Some(b'"') => {
                self.at += end + 1;
                Token::Plain(rest.get(..end).unwrap_or_default())
            }
            Some(_) => self.escaped(begin),
            None => self.fault(self.text.len(), "unexpected end of string"),
        }
    }

    fn fault(&mut self, place: usize, message: &'static str) -> Token<'a> {
        self.place = place;
        Token::Error(message)
    }

    fn escaped(&mut self, begin: usize) -> Token<'a> {
        let mut bytes = Vec::new();
        let mut at = begin;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let plain = memchr::memchr3(b'"', b'\\', 0, rest).unwrap_or(rest.len());
            bytes.extend_from_slice(rest.get(..plain).unwrap_or_default());
            at += plain;
            match rest.get(plain..) {
                Some([b'"', ..]) => {
                    self.at = at + 1;
                    return Token::Escaped(bytes);
                }
                Some([b'\\', code, ..]) => {
                    let byte = match code {
                        b'"' | b'\\' | b'/' => *code,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => match unicode(rest.get(plain..).unwrap_or_default()) {
                            Some((character, len)) => {
                                let mut buffer = [0; 4];
                                bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                                at += len;
                                continue;
                            }
                            None => return self.fault(at, "invalid unicode escape code"),
                        },
                        _ => return self.fault(at, "invalid escape code"),
                    };
                    bytes.push(byte);
                    at += 2;
                }
                Some([b'\\']) => return self.fault(at, "invalid escape code"),
                _ => return self.fault(at, "unexpected end of string"),
            }
        }
    }
}

/// The character of an escape such as `\u20ac`, or of two that make one, and its length.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let code = |at: usize| {
        let [b'\\', b'u', digits @ ..] = text.get(at..at + 6)? else { return None };
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = code(0)?;
    if !(0xd800..0xe000).contains(&first) {
        return char::from_u32(first).map(|character| (character, 6));
    }
    let second = code(6).filter(|second| (0xdc00..0xe000).contains(second) && first < 0xdc00)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|character| (character, 12))
}

/// Whether a number is none of JSON.
fn is_odd(text: &[u8]) -> bool {
    let digits = match text.split_first() {
        Some((b'-' | b'+', digits)) => digits,
        _ => text,
    };
    match digits {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [first, ..] if *first <= b'9' => false,
        _ => [&b"inf"[..], b"nan"]
            .iter()
            .any(|word| digits.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word))),
    }
}

/// Reads a document, and tells what it is made of. The error is for the script.
pub(crate) fn read<'a>(text: &'a [u8], leniency: Leniency, mut tell: impl FnMut(Event<'a>)) -> Result<(), String> {
    if matches!(text, [0, _, ..] | [_, 0, ..]) {
        return Err("JSON parser does not support UTF-16 or UTF-32".to_owned());
    }
    let mut lexer = Lexer { text, at: 0, place: 0, invalid_numbers: leniency.invalid_numbers };
    // What is open: whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    let mut token = lexer.next();
    loop {
        let opened = match token {
            Token::Plain(text) => {
                tell(Event::Plain(text));
                None
            }
            Token::Escaped(text) => {
                tell(Event::Escaped(text));
                None
            }
            Token::Number(number) => {
                tell(Event::Number(number));
                None
            }
            Token::Boolean(value) => {
                tell(Event::Boolean(value));
                None
            }
            Token::Null => {
                tell(Event::Null);
                None
            }
            Token::ArrayBegins => Some(false),
            Token::ObjectBegins => Some(true),
            other => return Err(expected("value", &other, &lexer)),
        };
        if let Some(is_object) = opened {
            open.push(is_object);
            if open.len() > leniency.depth_limit {
                let (depth, place) = (open.len(), lexer.place + 1);
                return Err(format!("Found too many nested data structures ({depth}) at character {place}"));
            }
            tell(if is_object { Event::ObjectBegins } else { Event::ArrayBegins });
            token = lexer.next();
            let ends = if is_object { token == Token::ObjectEnds } else { token == Token::ArrayEnds };
            if !ends {
                if is_object {
                    token = key(&mut lexer, token, &mut tell)?;
                }
                continue;
            }
            open.pop();
            tell(if is_object { Event::ObjectEnds } else { Event::ArrayEnds });
        }
        // A value is complete: on with what it is in.
        loop {
            token = lexer.next();
            match (open.last(), &token) {
                (None, Token::End) => return Ok(()),
                (None, other) => return Err(expected("the end", other, &lexer)),
                (Some(true), Token::ObjectEnds) => tell(Event::ObjectEnds),
                (Some(false), Token::ArrayEnds) => tell(Event::ArrayEnds),
                (Some(true), Token::Comma) => {
                    let next = lexer.next();
                    token = key(&mut lexer, next, &mut tell)?;
                    break;
                }
                (Some(false), Token::Comma) => {
                    token = lexer.next();
                    break;
                }
                (Some(true), other) => return Err(expected("comma or object end", other, &lexer)),
                (Some(false), other) => return Err(expected("comma or array end", other, &lexer)),
            }
            open.pop();
        }
    }
}

/// Reads a key and its colon; gives the first token of the value.
fn key<'a>(lexer: &mut Lexer<'a>, token: Token<'a>, tell: &mut impl FnMut(Event<'a>)) -> Result<Token<'a>, String> {
    match token {
        Token::Plain(text) => tell(Event::Plain(text)),
        Token::Escaped(text) => tell(Event::Escaped(text)),
        other => return Err(expected("object key string", &other, lexer)),
    }
    match lexer.next() {
        Token::Colon => Ok(lexer.next()),
        other => Err(expected("colon", &other, lexer)),
    }
}

fn expected(what: &str, found: &Token<'_>, lexer: &Lexer<'_>) -> String {
    format!("Expected {what} but found {} at character {}", found.name(), lexer.place + 1)
}
