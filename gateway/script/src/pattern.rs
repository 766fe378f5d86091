//! Lua's patterns, as LuaJIT has them, with a limit for the work.
//!
//! The functions of LuaJIT cannot be stopped while they match, and a pattern with a few repetitions can match for years.

/// Most captures of a pattern.
const CAPTURES_LIMIT: usize = 32;
/// How deep items may be nested.
const DEPTH_LIMIT: u32 = 200;
/// How many characters a match may look at, beside some for each of the subject: about 10 ms.
const STEPS: usize = 4_000_000;
const STEPS_PER_BYTE: usize = 4;

/// What is wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("missing '[' after '%f' in pattern")]
    Frontier,
    #[error("invalid pattern capture")]
    Capture,
    #[error("malformed pattern (ends with '%')")]
    Escape,
    #[error("malformed pattern (missing ']')")]
    Class,
    #[error("unbalanced pattern")]
    Balance,
    #[error("pattern too complex")]
    Complex,
    #[error("invalid capture index")]
    Index,
    #[error("too many captures")]
    Captures,
    #[error("unfinished capture")]
    Unfinished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Unfinished,
    Position,
    Len(usize),
}

/// What a match captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Captured {
    /// A place, from 1.
    Position(usize),
    /// A part of the subject.
    Part { start: usize, len: usize },
}

/// Matches a pattern against a subject.
pub(crate) struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [(usize, Extent); CAPTURES_LIMIT],
    level: usize,
    depth: u32,
    steps: usize,
}

type Step = Result<Option<usize>, PatternError>;

impl<'a> Matcher<'a> {
    /// The pattern is without the `^` that anchors it. All matches together may take as much work as stands above.
    pub(crate) fn new(subject: &'a [u8], pattern: &'a [u8]) -> Self {
        Self {
            subject,
            pattern,
            captures: [(0, Extent::Unfinished); CAPTURES_LIMIT],
            level: 0,
            depth: 0,
            steps: STEPS.saturating_add(subject.len().saturating_mul(STEPS_PER_BYTE)),
        }
    }

    /// Where a match that begins at `start` ends.
    pub(crate) fn at(&mut self, start: usize) -> Step {
        self.level = 0;
        self.depth = 0;
        self.matches(start, 0)
    }

    /// The first match that begins at `start` or later: where it begins and ends.
    pub(crate) fn from(&mut self, start: usize) -> Result<Option<(usize, usize)>, PatternError> {
        for begin in start..=self.subject.len() {
            if let Some(end) = self.at(begin)? {
                return Ok(Some((begin, end)));
            }
        }
        Ok(None)
    }

    /// How many captures the pattern has.
    pub(crate) fn captures(&self) -> usize {
        self.level
    }

    /// A capture of the last match, from 0. Where there are none, the first is all that matched, `start..end`.
    pub(crate) fn capture(&self, index: usize, start: usize, end: usize) -> Result<Captured, PatternError> {
        if index >= self.level {
            return if index == 0 { Ok(Captured::Part { start, len: end - start }) } else { Err(PatternError::Index) };
        }
        let (start, extent) = self.captures.get(index).copied().ok_or(PatternError::Index)?;
        match extent {
            Extent::Unfinished => Err(PatternError::Unfinished),
            Extent::Position => Ok(Captured::Position(start + 1)),
            Extent::Len(len) => Ok(Captured::Part { start, len }),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), PatternError> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(PatternError::Complex),
        }
    }

    /// The byte of the pattern; zero where it ends, and it ends at a zero.
    fn pattern_byte(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    fn matches(&mut self, start: usize, item: usize) -> Step {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(PatternError::Complex);
        }
        let found = self.sequence(start, item)?;
        self.depth -= 1;
        Ok(found)
    }

    /// Matches the items from `item` on. Those that cannot be tried in more than one way go on in the loop.
    fn sequence(&mut self, mut at: usize, mut item: usize) -> Step {
        loop {
            self.spend(1)?;
            match self.pattern_byte(item) {
                0 => return Ok(Some(at)),
                b'(' if self.pattern_byte(item + 1) == b')' => {
                    return self.open_capture(at, item + 2, Extent::Position);
                }
                b'(' => return self.open_capture(at, item + 1, Extent::Unfinished),
                b')' => return self.close_capture(at, item + 1),
                b'%' if self.pattern_byte(item + 1) == b'b' => match self.balanced(at, item + 2)? {
                    Some(end) => (at, item) = (end, item + 4),
                    None => return Ok(None),
                },
                b'%' if self.pattern_byte(item + 1) == b'f' => {
                    let class = item + 2;
                    if self.pattern_byte(class) != b'[' {
                        return Err(PatternError::Frontier);
                    }
                    let end = self.item_end(class)?;
                    let before = at.checked_sub(1).and_then(|at| self.subject.get(at)).copied().unwrap_or(0);
                    let after = self.subject.get(at).copied().unwrap_or(0);
                    self.spend(end - class)?;
                    if self.in_class(before, class, end - 1) || !self.in_class(after, class, end - 1) {
                        return Ok(None);
                    }
                    item = end;
                }
                b'%' if self.pattern_byte(item + 1).is_ascii_digit() => {
                    match self.again(at, self.pattern_byte(item + 1))? {
                        Some(end) => (at, item) = (end, item + 2),
                        None => return Ok(None),
                    }
                }
                b'$' if self.pattern_byte(item + 1) == 0 => {
                    return Ok((at == self.subject.len()).then_some(at));
                }
                _ => {
                    let end = self.item_end(item)?;
                    let cost = end - item;
                    self.spend(cost)?;
                    let here = self.single(at, item, end);
                    match self.pattern_byte(end) {
                        b'?' => {
                            if here && let Some(found) = self.matches(at + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            item = end + 1;
                        }
                        b'*' => return self.longest_first(at, item, end),
                        b'+' if here => return self.longest_first(at + 1, item, end),
                        b'+' => return Ok(None),
                        b'-' => return self.shortest_first(at, item, end),
                        _ if here => (at, item) = (at + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Where the item ends that begins at `item`: a character, an escape or a class.
    fn item_end(&self, item: usize) -> Result<usize, PatternError> {
        match self.pattern_byte(item) {
            b'%' if self.pattern_byte(item + 1) == 0 => Err(PatternError::Escape),
            b'%' => Ok(item + 2),
            b'[' => {
                let mut at = item + 1;
                if self.pattern_byte(at) == b'^' {
                    at += 1;
                }
                // The first character is of the class even if it is a closing bracket.
                loop {
                    match self.pattern_byte(at) {
                        0 => return Err(PatternError::Class),
                        b'%' if self.pattern_byte(at + 1) != 0 => at += 2,
                        _ => at += 1,
                    }
                    if self.pattern_byte(at) == b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(item + 1),
        }
    }

    fn single(&self, at: usize, item: usize, end: usize) -> bool {
        let Some(byte) = self.subject.get(at).copied() else { return false };
        match self.pattern_byte(item) {
            b'.' => true,
            b'%' => is_of(byte, self.pattern_byte(item + 1)),
            b'[' => self.in_class(byte, item, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a class has a byte: the class from its opening bracket to before its closing one, at `close`.
    fn in_class(&self, byte: u8, open: usize, close: usize) -> bool {
        let mut at = open + 1;
        let negated = self.pattern_byte(at) == b'^';
        if negated {
            at += 1;
        }
        while at < close {
            let first = self.pattern_byte(at);
            let found = if first == b'%' {
                at += 1;
                is_of(byte, self.pattern_byte(at))
            } else if self.pattern_byte(at + 1) == b'-' && at + 2 < close {
                at += 2;
                (first..=self.pattern_byte(at)).contains(&byte)
            } else {
                first == byte
            };
            if found {
                return !negated;
            }
            at += 1;
        }
        negated
    }

    fn balanced(&mut self, at: usize, item: usize) -> Step {
        let (open, close) = (self.pattern_byte(item), self.pattern_byte(item + 1));
        if open == 0 || close == 0 {
            return Err(PatternError::Balance);
        }
        if self.subject.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut nesting = 1;
        let rest = self.subject.get(at + 1..).unwrap_or_default();
        for (index, byte) in rest.iter().enumerate() {
            if *byte == close {
                nesting -= 1;
                if nesting == 0 {
                    self.spend(index)?;
                    return Ok(Some(at + 2 + index));
                }
            } else if *byte == open {
                nesting += 1;
            }
        }
        self.spend(rest.len())?;
        Ok(None)
    }

    fn longest_first(&mut self, at: usize, item: usize, end: usize) -> Step {
        let mut count = 0;
        while self.single(at + count, item, end) {
            count += 1;
        }
        self.spend(count * (end - item))?;
        loop {
            if let Some(found) = self.matches(at + count, end + 1)? {
                return Ok(Some(found));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    fn shortest_first(&mut self, mut at: usize, item: usize, end: usize) -> Step {
        loop {
            if let Some(found) = self.matches(at, end + 1)? {
                return Ok(Some(found));
            }
            self.spend(end - item)?;
            if !self.single(at, item, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open_capture(&mut self, at: usize, item: usize, extent: Extent) -> Step {
        let capture = self.captures.get_mut(self.level).ok_or(PatternError::Captures)?;
        *capture = (at, extent);
        self.level += 1;
        let found = self.matches(at, item)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close_capture(&mut self, at: usize, item: usize) -> Step {
        let open = self.captures.iter().take(self.level).rposition(|(_, extent)| *extent == Extent::Unfinished);
        let index = open.ok_or(PatternError::Capture)?;
        self.extend(index, |start| Extent::Len(at - start));
        let found = self.matches(at, item)?;
        if found.is_none() {
            self.extend(index, |_| Extent::Unfinished);
        }
        Ok(found)
    }

    fn extend(&mut self, index: usize, extent: impl FnOnce(usize) -> Extent) {
        if let Some((start, old)) = self.captures.get_mut(index) {
            *old = extent(*start);
        }
    }

    /// Matches what a capture has once more.
    fn again(&mut self, at: usize, digit: u8) -> Step {
        let index = usize::from(digit).checked_sub(usize::from(b'1')).ok_or(PatternError::Index)?;
        if index >= self.level {
            return Err(PatternError::Index);
        }
        let (start, extent) = self.captures.get(index).copied().ok_or(PatternError::Index)?;
        let len = match extent {
            Extent::Unfinished => return Err(PatternError::Index),
            // LuaJIT takes the mark of a position for a length that no subject has.
            Extent::Position => return Ok(None),
            Extent::Len(len) => len,
        };
        let (first, rest) = (self.subject.get(start..start + len), self.subject.get(at..));
        let same = first.zip(rest).is_some_and(|(first, rest)| rest.starts_with(first));
        self.spend(1 + len / 8)?;
        Ok(same.then_some(at + len))
    }
}

/// Whether a byte is of the class that a letter after `%` names.
fn is_of(byte: u8, class: u8) -> bool {
    let of = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte == b' ' || (9..=13).contains(&byte),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    of == class.is_ascii_lowercase()
}
