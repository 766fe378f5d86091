//! PCRE2, as far as it is needed: patterns are compiled and run, and no run takes longer than it may.
//!
//! PCRE2 counts its backtracking and gives up at a limit, but what it counts may take from a few nanoseconds to a walk over the
//! whole subject, and it counts anew at each place where a match might begin. So on long subjects, and where a first quick
//! attempt hits its limit, patterns run that were compiled with a call-out before each item: there the clock is watched.

#![expect(unsafe_code, reason = "calls a library of C; what it offers to the rest of the crate is safe")]

use std::cell::{Cell, OnceCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::time::Instant;

use pcre2_sys::*;

/// Longest pattern, in bytes. PCRE2 refuses most that are as long, because compiled ones are limited to 64 KiB.
const PATTERN_LIMIT: usize = 64 * 1024;
/// Memory that one run may take for backtracking, in KiB, as a tenth of what PCRE2 takes by default.
const HEAP_LIMIT: u32 = 2048;
/// The same for compiled patterns, in bytes.
const STACK_LIMIT: usize = 1024 * 1024;
/// Work that a run without a watch of the clock may do, in bytes looked at: some 10 ms.
const UNWATCHED: usize = 16_000_000;
/// How much backtracking at one place is worth an attempt without a watch.
const COUNTED_FLOOR: usize = 24;
/// Most backtracking at one place for an attempt without a watch.
const COUNTED_CEILING: usize = 10_000;
/// Backtracking under the watch; there the clock decides.
const WATCHED: u32 = u32::MAX;
/// How many call-outs may pass without a look at the clock, on a short subject.
const CALLOUTS: usize = 256;
/// So many bytes of a subject are as good as one more call-out, because an item may look at all of them.
const BYTES_PER_CALLOUT: usize = 1024;
/// How often a pattern is used before it is compiled to machine code, which takes some ten times as long as compiling it.
const USES_BEFORE_JIT: u32 = 4;
/// Space for the deterministic matcher, in numbers: OpenResty's.
const WORKSPACE: usize = 100;
/// Memory for backtracking that is kept between runs, in bytes.
const KEPT: usize = 64 * 1024;

/// The code for "too much work", as PCRE2 has it.
pub(crate) const TOO_MUCH: i32 = PCRE2_ERROR_MATCHLIMIT;

/// Why a pattern cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPattern {
    pub(crate) message: String,
    /// Where in the pattern.
    pub(crate) offset: usize,
}

/// How a pattern is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Options {
    pub(crate) bits: u32,
    /// Find the longest match by trying all alternatives at once; there are no captures then.
    pub(crate) longest: bool,
    /// Compile to machine code at once.
    pub(crate) jit: bool,
}

/// A compiled pattern.
struct Code(NonNull<pcre2_code_8>);

impl Code {
    fn compile(pattern: &[u8], bits: u32) -> Result<Self, BadPattern> {
        if pattern.len() > PATTERN_LIMIT {
            let message = format!("pattern string is longer than {PATTERN_LIMIT} bytes");
            return Err(BadPattern { message, offset: PATTERN_LIMIT });
        }
        let (mut error, mut offset) = (0, 0);
        // SAFETY: the pattern is as long as it is said to be; without a context the defaults hold.
        let code = unsafe {
            pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                bits | PCRE2_NEVER_BACKSLASH_C,
                &mut error,
                &mut offset,
                ptr::null_mut(),
            )
        };
        NonNull::new(code).map(Self).ok_or_else(|| BadPattern { message: message(error), offset })
    }

    fn jit(&self) {
        // SAFETY: the code is one that was compiled. Where it cannot be made machine code, it is run as it is.
        unsafe { pcre2_jit_compile_8(self.0.as_ptr(), PCRE2_JIT_COMPLETE) };
    }

    fn info<T: Default>(&self, what: u32) -> T {
        let mut value = T::default();
        // SAFETY: the code is one that was compiled; callers name the type that the question has.
        unsafe { pcre2_pattern_info_8(self.0.as_ptr(), what, ptr::from_mut(&mut value).cast::<c_void>()) };
        value
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and nobody has it any more.
        unsafe { pcre2_code_free_8(self.0.as_ptr()) }
    }
}

/// What PCRE2 says about one of its codes.
fn message(code: c_int) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is as long as it is said to be.
    let len = unsafe { pcre2_get_error_message_8(code, buffer.as_mut_ptr(), buffer.len()) };
    let text = usize::try_from(len).ok().and_then(|len| buffer.get(..len)).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// A pattern with its options, ready to run.
pub(crate) struct Regex {
    plain: Code,
    /// The same with call-outs, made when it is first wanted. `None` where that is too large.
    watched: OnceCell<Option<Code>>,
    options: Options,
    pattern: Box<[u8]>,
    uses: Cell<u32>,
    /// How many groups capture.
    pub(crate) groups: usize,
    /// The groups that have names, by name; one name may stand for several.
    pub(crate) names: Vec<(usize, Box<[u8]>)>,
}

impl Regex {
    pub(crate) fn new(pattern: &[u8], options: Options) -> Result<Self, BadPattern> {
        let plain = Code::compile(pattern, options.bits)?;
        let groups = if options.longest { 0 } else { plain.info::<u32>(PCRE2_INFO_CAPTURECOUNT) as usize };
        let names = if options.longest { Vec::new() } else { names(&plain) };
        if options.jit && !options.longest {
            plain.jit();
        }
        let uses = Cell::new(if options.jit { USES_BEFORE_JIT } else { 0 });
        Ok(Self { plain, watched: OnceCell::new(), options, pattern: pattern.into(), uses, groups, names })
    }

    pub(crate) fn is_utf(&self) -> bool {
        self.options.bits & PCRE2_UTF != 0
    }

    /// What it takes, in bytes, about.
    pub(crate) fn size(&self) -> usize {
        let of = |code: &Code| code.info::<usize>(PCRE2_INFO_SIZE) + code.info::<usize>(PCRE2_INFO_JITSIZE);
        let watched = self.watched.get().and_then(Option::as_ref).map_or(0, of);
        of(&self.plain) + watched + self.pattern.len() + 256
    }

    fn watched(&self) -> &Code {
        let watched = self.watched.get_or_init(|| {
            let code = Code::compile(&self.pattern, self.options.bits | PCRE2_AUTO_CALLOUT).ok()?;
            if !self.options.longest {
                code.jit();
            }
            Some(code)
        });
        watched.as_ref().unwrap_or(&self.plain)
    }

    fn used(&self) {
        let uses = self.uses.get();
        if uses < USES_BEFORE_JIT {
            self.uses.set(uses + 1);
            if uses + 1 == USES_BEFORE_JIT && !self.options.longest {
                self.plain.jit();
            }
        }
    }
}

fn names(code: &Code) -> Vec<(usize, Box<[u8]>)> {
    let count = code.info::<u32>(PCRE2_INFO_NAMECOUNT) as usize;
    let size = code.info::<u32>(PCRE2_INFO_NAMEENTRYSIZE) as usize;
    let mut table: *const u8 = ptr::null();
    // SAFETY: the code is one that was compiled, and the question is for an address. The table belongs to the code, and has as
    // many entries as it says of the size it says.
    let bytes = unsafe {
        pcre2_pattern_info_8(code.0.as_ptr(), PCRE2_INFO_NAMETABLE, ptr::from_mut(&mut table).cast::<c_void>());
        if table.is_null() || count == 0 { &[] } else { std::slice::from_raw_parts(table, count * size) }
    };
    let name = |entry: &[u8]| match entry {
        [high, low, name @ ..] => {
            let end = memchr::memchr(0, name).unwrap_or(name.len());
            Some((usize::from(*high) << 8 | usize::from(*low), Box::from(name.get(..end)?)))
        }
        _ => None,
    };
    bytes.chunks_exact(size.max(1)).filter_map(name).collect()
}

// The bindings leave it out, for want of the struct that describes a call-out. It is not looked at here.
unsafe extern "C" {
    fn pcre2_set_callout_8(
        context: *mut pcre2_match_context_8,
        callout: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>,
        data: *mut c_void,
    ) -> c_int;
}

/// What call-outs look at.
struct Watch {
    deadline: Cell<Option<Instant>>,
    count: Cell<usize>,
    weight: Cell<usize>,
}

unsafe extern "C" fn look(_: *mut c_void, watch: *mut c_void) -> c_int {
    // SAFETY: the address is that of the watch of the matcher, which waits for the run that calls this.
    let watch = unsafe { &*watch.cast::<Watch>() };
    let count = watch.count.get() + watch.weight.get();
    if count < CALLOUTS {
        watch.count.set(count);
        return 0;
    }
    watch.count.set(0);
    match watch.deadline.get() {
        Some(deadline) if Instant::now() >= deadline => TOO_MUCH,
        _ => 0,
    }
}

/// What runs patterns. One serves all of a VM.
pub(crate) struct Matcher {
    data: NonNull<pcre2_match_data_8>,
    pairs: u32,
    context: NonNull<pcre2_match_context_8>,
    stack: *mut pcre2_jit_stack_8,
    watch: Box<Watch>,
    matched: usize,
}

impl Matcher {
    /// `None` where there is no memory for it.
    pub(crate) fn new() -> Option<Self> {
        let watch = Box::new(Watch { deadline: Cell::new(None), count: Cell::new(0), weight: Cell::new(1) });
        let pairs = 16;
        // SAFETY: each is made with the defaults, and freed when the matcher is dropped. The watch is boxed, so it stays where it
        // is for as long as the context.
        unsafe {
            let data = NonNull::new(pcre2_match_data_create_8(pairs, ptr::null_mut()))?;
            let Some(context) = NonNull::new(pcre2_match_context_create_8(ptr::null_mut())) else {
                pcre2_match_data_free_8(data.as_ptr());
                return None;
            };
            let stack = pcre2_jit_stack_create_8(32 * 1024, STACK_LIMIT, ptr::null_mut());
            if !stack.is_null() {
                pcre2_jit_stack_assign_8(context.as_ptr(), None, stack.cast());
            }
            pcre2_set_heap_limit_8(context.as_ptr(), HEAP_LIMIT);
            let address: *const Watch = &raw const *watch;
            pcre2_set_callout_8(context.as_ptr(), Some(look), address.cast_mut().cast());
            Some(Self { data, pairs, context, stack, watch, matched: 0 })
        }
    }

    /// Looks for a match from `start` on, until `deadline`. `Ok(false)` if there is none; errors are PCRE2's codes. With
    /// `checked` the caller says that the same regex has been run on the same subject from its beginning, so that it is known
    /// to be well-formed.
    pub(crate) fn run(
        &mut self,
        regex: &Regex,
        subject: &[u8],
        start: usize,
        checked: bool,
        deadline: Instant,
    ) -> Result<bool, i32> {
        regex.used();
        let pairs = u32::try_from(regex.groups + 1).unwrap_or(u32::MAX);
        if pairs > self.pairs {
            self.renew(pairs)?;
        }
        // Where ill-formed text is passed over, PCRE2 has to look for it itself each time.
        let skip = checked && regex.is_utf() && regex.options.bits & PCRE2_MATCH_INVALID_UTF == 0;
        let options = if skip { PCRE2_NO_UTF_CHECK } else { 0 };
        let len = subject.len().max(32);
        let counted = UNWATCHED / len.saturating_mul(len);
        if counted >= COUNTED_FLOOR && !regex.options.longest {
            let limit = u32::try_from(counted.min(COUNTED_CEILING)).unwrap_or(1);
            match self.attempt(&regex.plain, regex, subject, start, options, limit) {
                Err(TOO_MUCH) => {}
                done => return done,
            }
        }
        self.watch.deadline.set(Some(deadline));
        self.watch.count.set(0);
        self.watch.weight.set(1 + subject.len() / BYTES_PER_CALLOUT);
        let watched = regex.watched();
        // One that is too large for call-outs keeps to what can be done without.
        let limit = if ptr::eq(watched, &regex.plain) { COUNTED_FLOOR as u32 } else { WATCHED };
        self.attempt(watched, regex, subject, start, options, limit)
    }

    fn attempt(
        &mut self,
        code: &Code,
        regex: &Regex,
        subject: &[u8],
        start: usize,
        options: u32,
        limit: u32,
    ) -> Result<bool, i32> {
        let mut workspace = [0; WORKSPACE];
        // SAFETY: all of these live, and the subject and the workspace are as long as they are said to be. That the subject is
        // well-formed was checked where the check is left out.
        let result = unsafe {
            pcre2_set_match_limit_8(self.context.as_ptr(), limit);
            let (code, data, context) = (code.0.as_ptr(), self.data.as_ptr(), self.context.as_ptr());
            if regex.options.longest {
                pcre2_dfa_match_8(
                    code,
                    subject.as_ptr(),
                    subject.len(),
                    start,
                    options,
                    data,
                    context,
                    workspace.as_mut_ptr(),
                    workspace.len(),
                )
            } else {
                pcre2_match_8(code, subject.as_ptr(), subject.len(), start, options, data, context)
            }
        };
        // SAFETY: the data lives.
        if unsafe { pcre2_get_match_data_heapframes_size_8(self.data.as_ptr()) } > KEPT {
            self.keep_result(result)?;
        }
        match result {
            PCRE2_ERROR_NOMATCH => Ok(false),
            // The deterministic matcher says so where there was more than one match; the first is the longest.
            0 => {
                self.matched = 1;
                Ok(true)
            }
            matched => match usize::try_from(matched) {
                Ok(matched) => {
                    self.matched = if regex.options.longest { 1 } else { matched };
                    Ok(true)
                }
                Err(_) => Err(result),
            },
        }
    }

    /// Gives back memory that a run took, but not what it found.
    fn keep_result(&mut self, result: c_int) -> Result<(), i32> {
        let found: Vec<usize> = if result >= 0 { self.spans().to_vec() } else { Vec::new() };
        self.renew(self.pairs)?;
        // SAFETY: the new data has room for as many pairs as the old, and nothing else refers to it.
        let spans = unsafe {
            std::slice::from_raw_parts_mut(pcre2_get_ovector_pointer_8(self.data.as_ptr()), self.pairs as usize * 2)
        };
        for (to, from) in spans.iter_mut().zip(found) {
            *to = from;
        }
        Ok(())
    }

    fn renew(&mut self, pairs: u32) -> Result<(), i32> {
        // SAFETY: the old data is freed only when there is new, and nobody else has it.
        unsafe {
            let data = pcre2_match_data_create_8(pairs, ptr::null_mut());
            let data = NonNull::new(data).ok_or(PCRE2_ERROR_NOMEMORY)?;
            pcre2_match_data_free_8(self.data.as_ptr());
            self.data = data;
        }
        self.pairs = pairs;
        Ok(())
    }

    fn spans(&self) -> &[usize] {
        // SAFETY: the data lives, and has room for as many pairs.
        unsafe { std::slice::from_raw_parts(pcre2_get_ovector_pointer_8(self.data.as_ptr()), self.pairs as usize * 2) }
    }

    /// Where the group was matched last; group 0 is the whole match. `None` where it took no part.
    pub(crate) fn span(&self, group: usize) -> Option<(usize, usize)> {
        if group >= self.matched {
            return None;
        }
        match self.spans().get(group * 2..group * 2 + 2)? {
            // With \K in a look-around the end may be before the beginning.
            [from, to] if *from != PCRE2_UNSET && *to != PCRE2_UNSET => Some((*from, (*to).max(*from))),
            _ => None,
        }
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        // SAFETY: they were made by `new` or `renew`, and nobody has them any more.
        unsafe {
            pcre2_match_data_free_8(self.data.as_ptr());
            pcre2_match_context_free_8(self.context.as_ptr());
            pcre2_jit_stack_free_8(self.stack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::testing::processor_time;

    fn regex(pattern: &str) -> Regex {
        Regex::new(pattern.as_bytes(), Options::default()).unwrap()
    }

    fn run(matcher: &mut Matcher, regex: &Regex, subject: &[u8]) -> Result<bool, i32> {
        matcher.run(regex, subject, 0, false, Instant::now() + Duration::from_millis(30))
    }

    #[test]
    fn groups_are_found_by_number_and_have_names() {
        let mut matcher = Matcher::new().unwrap();
        let regex = regex("(?<word>[a-z]+)(-)?(?<number>[0-9]+)");
        assert_eq!(run(&mut matcher, &regex, b"  abc123"), Ok(true));
        assert_eq!(
            (0..5).map(|group| matcher.span(group)).collect::<Vec<_>>(),
            [Some((2, 8)), Some((2, 5)), None, Some((5, 8)), None]
        );
        assert_eq!(regex.groups, 3);
        assert_eq!(regex.names, [(3, b"number"[..].into()), (1, b"word"[..].into())]);
        assert_eq!(run(&mut matcher, &regex, b"abc"), Ok(false));
    }

    #[test]
    fn more_groups_than_any_before_are_no_obstacle() {
        let mut matcher = Matcher::new().unwrap();
        let regex = regex(&"(a)".repeat(200));
        assert_eq!(run(&mut matcher, &regex, &[b'a'; 200]), Ok(true));
        assert_eq!(matcher.span(200), Some((199, 200)));
    }

    #[test]
    fn patterns_that_would_run_for_ages_give_up_soon() {
        let mut matcher = Matcher::new().unwrap();
        let patterns = [
            "a*a*a*a*a*c|b$x",
            "(a*)*c|d",
            "(a|a)*(c|d)",
            "(?:a+)+(c|d)",
            "a*a*(c|d)",
            "\\w*?\\w*?\\w*?\\w*?[-+]",
            "(.*)(.*)(.*)(.*)\\1\\2[xy]",
            "(?=a*a*a*[bc])[bc]",
            "(?:a?){30}a{30}[bc]",
            "a{0,9999}a{0,9999}a{0,9999}[bc]",
            "(?<=a)a*a*a*c|.*.*.*d",
            "[^b]*[^b]*[^b]*[bc]",
            "^(a(?1)?a|a)[bc]",
            "(x+x+)+y|(a+a+)+[bc]",
            "(?>a+a+)*[bc]",
            "(?:(?:a|a)|(?:a|a))*[bc]",
            "(?(?=a)a*|b)*(?:a*)*[bc]",
            "(?:.|\\w)*[bc]",
            "a+[bc]",
            "(\\w+\\s*)+:",
        ];
        for (longest, jit) in [(false, false), (false, true), (true, false)] {
            for pattern in patterns {
                let options = Options { longest, jit, ..Options::default() };
                let Ok(regex) = Regex::new(pattern.as_bytes(), options) else { panic!("{pattern}") };
                for len in [30, 1000, 30_000, 3_000_000] {
                    let subject = vec![b'a'; len];
                    let begun = processor_time();
                    let result = run(&mut matcher, &regex, &subject);
                    let elapsed = processor_time() - begun;
                    // The limit is 30 ms, and it is looked at now and then.
                    assert!(
                        elapsed < Duration::from_millis(600),
                        "{pattern} {options:?} {len}: {elapsed:?} {result:?}"
                    );
                    assert_ne!(result, Ok(true), "{pattern} {options:?} {len}");
                }
            }
        }
    }

    #[test]
    fn long_subjects_are_searched_all_the_same() {
        let mut matcher = Matcher::new().unwrap();
        let mut subject = b"key = value; ".repeat(100_000);
        subject.extend_from_slice(b"needle=1");
        let regex = regex("(n\\w+le)=(\\d)$");
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(matcher.run(&regex, &subject, 0, false, far), Ok(true));
        assert_eq!(matcher.span(1), Some((1_300_000, 1_300_006)));
    }

    #[test]
    fn text_that_is_not_well_formed_is_an_error_or_passed_over() {
        let mut matcher = Matcher::new().unwrap();
        let strict = Regex::new("好".as_bytes(), Options { bits: PCRE2_UTF, ..Options::default() }).unwrap();
        assert_eq!(run(&mut matcher, &strict, b"\xe4\xbd\xa0\xe5"), Err(-4));
        for jit in [false, true] {
            let lenient = Options { bits: PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, jit, ..Options::default() };
            let lenient = Regex::new("好".as_bytes(), lenient).unwrap();
            assert_eq!(run(&mut matcher, &lenient, b"\xe4\xbd\xff\xe5\xa5\xbd\xe5"), Ok(true));
            assert_eq!(matcher.span(0), Some((3, 6)));
            assert_eq!(matcher.run(&lenient, b"\xe4\xbd\xa0\xe5", 1, true, Instant::now()), Ok(false));
        }
    }

    #[test]
    fn bad_patterns_are_told_with_their_place() {
        let error = Regex::new(b"(abc", Options::default()).err().unwrap();
        assert_eq!(error, BadPattern { message: "missing closing parenthesis".into(), offset: 4 });
        assert!(Regex::new(&vec![b'a'; PATTERN_LIMIT + 1], Options::default()).is_err());
        assert!(Regex::new(b"a\\Cb", Options::default()).is_err(), "single bytes of a character would be unsound");
    }

    #[test]
    fn memory_that_a_run_took_is_given_back_and_its_result_kept() {
        let mut matcher = Matcher::new().unwrap();
        let regex = regex("^(?:(a)|(b))*(c)");
        let mut subject = vec![b'a'; 10_000];
        subject.push(b'c');
        assert_eq!(run(&mut matcher, &regex, &subject), Ok(true));
        assert_eq!(matcher.span(0), Some((0, 10_001)));
        assert_eq!(matcher.span(3), Some((10_000, 10_001)));
    }
}
