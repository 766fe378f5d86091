//! Writes lines to a file that may be moved away, and may not be writable for a while.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::{IntCounter, IntCounterVec};
use tracing::{error, info};

/// Bytes that are written at once under load: some 150 lines.
const BUFFER_BYTES: usize = 64 * 1024;
/// Pause after a file could not be opened or written: a full disk is not relieved by trying harder.
const RETRY: Duration = Duration::from_secs(1);
/// The same for standard output that does not block and is full.
const RETRY_FULL: Duration = Duration::from_millis(10);

/// What is queued for the writing thread.
#[derive(Debug)]
pub enum Line {
    /// A line, with its end.
    Record(Vec<u8>),
    /// There is something in [`Control`].
    Look,
}

/// What the writing thread is told beside the queue, which may be full.
#[derive(Debug, Default)]
pub struct Control {
    /// Whether there is anything below; asked for each line.
    news: AtomicBool,
    wishes: Mutex<Wishes>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    /// Whoever waits for the file to be opened anew.
    reopen: Vec<SyncSender<()>>,
    close: bool,
}

impl Control {
    /// Has the file opened anew; `done` gets a message after the attempt.
    pub fn reopen(&self, done: SyncSender<()>) {
        self.tell(|wishes| wishes.reopen.push(done));
    }

    /// Has the thread end soon, if need be without writing all lines.
    pub fn close(&self) {
        self.tell(|wishes| wishes.close = true);
    }

    fn tell(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes.lock());
        self.news.store(true, Ordering::Release);
        self.woken.notify_all();
    }

    /// Those who wait for the file to be opened anew.
    fn take_reopen(&self) -> Vec<SyncSender<()>> {
        if !self.news.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.wishes.lock().reopen)
    }

    /// Waits for that long, or until something is wished for. False: it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let mut wishes = self.wishes.lock();
        if !wishes.close && wishes.reopen.is_empty() {
            self.woken.wait_for(&mut wishes, time);
        }
        !wishes.close
    }
}

/// A file, and what is still to be written to it.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// None: standard output, which has no name to open it by.
    path: Option<PathBuf>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that have been written.
    written: usize,
    /// Whether the last attempt to write failed, and has been told.
    is_stuck: bool,
    /// When to try again to open it anew, if that failed.
    reopen_at: Option<Instant>,
    counters: Option<(IntCounterVec, IntCounter)>,
}

impl LogFile {
    /// # Errors
    /// It cannot be opened for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(append_to(path)?, Some(path.to_owned())))
    }

    /// # Errors
    /// It is closed.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self::new(File::from(io::stdout().as_fd().try_clone_to_owned()?), None))
    }

    fn new(file: File, path: Option<PathBuf>) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { file, path, buffer, written: 0, is_stuck: false, reopen_at: None, counters: None }
    }

    /// Counts failures by operation, and lines that are lost.
    pub fn counting(self, failures: IntCounterVec, dropped: IntCounter) -> Self {
        Self { counters: Some((failures, dropped)), ..self }
    }

    fn count_failure(&self, operation: &str) {
        if let Some((failures, _)) = &self.counters {
            failures.with_label_values(&[operation]).inc();
        }
    }

    fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }

    /// Opens the file anew by its name and goes on with it; with the old one if that fails, and tries again later.
    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append_to(path) {
            Ok(file) => {
                // A line that is half in the old file is whole in the new one.
                self.written = self.line_begin();
                self.file = file;
                if self.reopen_at.take().is_some() {
                    info!(path = %self.name(), "the access log is open again");
                }
            }
            Err(error) => {
                self.count_failure("open");
                if self.reopen_at.replace(Instant::now() + RETRY).is_none() {
                    error!(
                        path = %self.name(), %error,
                        "the access log cannot be opened anew; records go on to the file that was open. Make its folder, \
                         or let the gateway write to it: it is tried again every {RETRY:?}"
                    );
                }
            }
        }
    }

    /// Where the line begins that the next byte to be written belongs to.
    fn line_begin(&self) -> usize {
        let written = self.buffer.get(..self.written).unwrap_or_default();
        memchr::memrchr(b'\n', written).map_or(0, |end| end + 1)
    }

    /// Writes what is in the buffer. None: it is all written; otherwise how long to wait before the next attempt.
    fn flush(&mut self) -> Option<Duration> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            let error = match self.file.write(rest) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(bytes) => {
                    self.written += bytes;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(RETRY_FULL),
                Err(error) => error,
            };
            self.count_failure("write");
            if !std::mem::replace(&mut self.is_stuck, true) {
                error!(
                    path = %self.name(), %error,
                    "access records cannot be written; they wait, and are dropped when too many do. It is tried again \
                     every {RETRY:?}"
                );
            }
            return Some(RETRY);
        }
        if std::mem::take(&mut self.is_stuck) {
            info!(path = %self.name(), "access records are written again");
        }
        self.buffer.clear();
        self.written = 0;
        None
    }

    /// Counts what could not be written.
    fn give_up(&mut self, queued: usize) {
        let rest = self.buffer.get(self.line_begin()..).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', rest).count() + queued;
        if let Some((_, dropped)) = &self.counters {
            dropped.inc_by(lines as u64);
        }
        if lines > 0 {
            error!(path = %self.name(), lines, "access records are lost: they could not be written before the end");
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes lines until the queue is closed: in batches, for it is flushed when the queue is empty, not after each line. What
/// cannot be written waits and keeps the queue waiting, so that it is lost, and counted, only where the queue is full.
pub fn write_lines(lines: &Receiver<Line>, control: &Control, mut log: LogFile) {
    loop {
        let waiting = control.take_reopen();
        if !waiting.is_empty() || log.reopen_at.is_some_and(|due| due <= Instant::now()) {
            // Where it belongs, with what was there before anybody wished for that.
            gather(lines, &mut log);
            let _ = log.flush();
            log.reopen();
            answer(waiting);
        }
        let next = match lines.try_recv() {
            Err(TryRecvError::Empty) => {
                if !flush_in_time(&mut log, control) {
                    break;
                }
                wait(lines, log.reopen_at)
            }
            next => next.map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(Line::Record(line)) => {
                log.buffer.extend_from_slice(&line);
                if log.buffer.len() >= BUFFER_BYTES && !flush_in_time(&mut log, control) {
                    break;
                }
            }
            Ok(Line::Look) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // One attempt for everything that is left.
    let mut queued = 0;
    for line in lines.try_iter() {
        if let Line::Record(line) = line {
            match log.buffer.len() < BUFFER_BYTES || log.flush().is_none() {
                true => log.buffer.extend_from_slice(&line),
                false => queued += 1,
            }
        }
    }
    if log.flush().is_some() || queued > 0 {
        log.give_up(queued);
    }
}

/// Takes what is in the queue by now, as far as it can be written at once.
fn gather(lines: &Receiver<Line>, log: &mut LogFile) {
    for line in lines.try_iter().take(super::access_log::QUEUE_LIMIT) {
        let Line::Record(line) = line else { continue };
        log.buffer.extend_from_slice(&line);
        if log.buffer.len() >= BUFFER_BYTES && log.flush().is_some() {
            return;
        }
    }
}

/// Writes what is in the buffer, however long it takes; opens the file anew if that is wished for meanwhile. False: it is
/// time to end, and not all is written.
fn flush_in_time(log: &mut LogFile, control: &Control) -> bool {
    while let Some(pause) = log.flush() {
        if !control.pause(pause) {
            return false;
        }
        let waiting = control.take_reopen();
        if !waiting.is_empty() {
            log.reopen();
            answer(waiting);
        }
    }
    true
}

fn answer(waiting: Vec<SyncSender<()>>) {
    for done in waiting {
        // Whoever does not wait any more need not be told.
        let _ = done.try_send(());
    }
}

fn wait(lines: &Receiver<Line>, until: Option<Instant>) -> Result<Line, RecvTimeoutError> {
    match until {
        Some(until) => lines.recv_timeout(until.saturating_duration_since(Instant::now())),
        None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;

    struct Running {
        queue: Option<SyncSender<Line>>,
        control: Arc<Control>,
        thread: thread::JoinHandle<()>,
        failures: IntCounterVec,
        dropped: IntCounter,
    }

    fn run(log: LogFile) -> Running {
        let failures = IntCounterVec::new(prometheus::Opts::new("f", "f"), &["operation"]).unwrap();
        let dropped = IntCounter::new("d", "d").unwrap();
        let log = log.counting(failures.clone(), dropped.clone());
        let (queue, lines) = sync_channel(100);
        let control = Arc::new(Control::default());
        let told = Arc::clone(&control);
        let thread = thread::spawn(move || write_lines(&lines, &told, log));
        Running { queue: Some(queue), control, thread, failures, dropped }
    }

    impl Running {
        fn write(&self, line: &str) {
            self.queue.as_ref().unwrap().send(Line::Record(format!("{line}\n").into_bytes())).unwrap();
        }

        fn reopen(&self) {
            let (done, is_done) = sync_channel(1);
            self.control.reopen(done);
            let _ = self.queue.as_ref().unwrap().try_send(Line::Look);
            is_done.recv().unwrap();
        }

        fn failures(&self, operation: &str) -> u64 {
            self.failures.with_label_values(&[operation]).get()
        }

        fn end(mut self) -> u64 {
            self.control.close();
            self.queue = None;
            self.thread.join().unwrap();
            self.dropped.get()
        }
    }

    #[test]
    fn after_reopening_lines_go_to_a_new_file_and_those_before_are_in_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let [path, old] = ["log", "log.1"].map(|name| folder.path().join(name));
        let log = run(LogFile::open(&path).unwrap());
        log.write("one");
        log.reopen();
        fs::rename(&path, &old).unwrap();
        log.write("two");
        log.reopen();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        log.write("three");
        assert_eq!(log.end(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn where_it_cannot_be_opened_lines_go_on_to_the_old_file_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let [here, away] = ["here", "away"].map(|name| folder.path().join(name));
        fs::create_dir(&here).unwrap();
        let log = run(LogFile::open(&here.join("log")).unwrap());
        fs::rename(&here, &away).unwrap();
        log.reopen();
        log.write("one");
        assert!(log.failures("open") >= 1);
        fs::create_dir(&here).unwrap();
        // Nobody says so.
        while !here.join("log").exists() {
            thread::yield_now();
        }
        log.reopen();
        log.write("two");
        assert_eq!(log.end(), 0);
        assert_eq!(fs::read_to_string(away.join("log")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(here.join("log")).unwrap(), "two\n");
    }

    #[test]
    fn what_cannot_be_written_waits_and_is_counted_if_it_never_can() {
        let full = || LogFile::new(OpenOptions::new().write(true).open("/dev/full").unwrap(), None);
        let log = run(full());
        for line in ["one", "two", "three"] {
            log.write(line);
        }
        while log.failures("write") == 0 {
            thread::yield_now();
        }
        assert_eq!(log.end(), 3);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = run(LogFile { path: Some(path.clone()), ..full() });
        log.write("one");
        while log.failures("write") == 0 {
            thread::yield_now();
        }
        log.write("two");
        log.reopen();
        assert_eq!(log.end(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_line_that_was_cut_is_written_as_a_whole_to_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path).unwrap();
        log.buffer.extend_from_slice(b"one\ntwo\nthree\n");
        log.written = 5;
        log.reopen();
        assert_eq!(log.flush(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
    }
}
