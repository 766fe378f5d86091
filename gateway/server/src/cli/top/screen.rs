//! The live view: a screen of the terminal's own, drawn in place, until somebody ends it.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use tokio::signal::unix::{SignalKind, signal};

use super::Options;
use super::render::{Line, Size, Weight, render};
use super::source::{self, ReadError, Reading};
use super::view::View;

/// How long a reading or a signal waits to be noticed; keys and resizes wake the view at once.
const TICK: Duration = Duration::from_millis(100);

/// Shows the gateway until `q`, Ctrl-C, or a signal.
///
/// # Errors
/// The terminal cannot be set up or written to.
pub fn run(options: &Options) -> io::Result<()> {
    let ended = end_by_signal()?;
    let readings = readings(options.clone());
    let _screen = Screen::enter()?;
    let mut shown = Shown::default();
    let mut stale = true;
    while !ended.load(Ordering::Relaxed) {
        loop {
            match readings.try_recv() {
                Ok(reading) => shown.take(reading),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the thread that reads has ended")),
            }
            stale = true;
        }
        if stale {
            draw(&shown.lines(options))?;
            stale = false;
        }
        if event::poll(TICK)? {
            match event::read()? {
                event if is_end(&event) => return Ok(()),
                Event::Resize(..) => stale = true,
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// True after SIGTERM or SIGHUP: they would end the process without giving the terminal back.
fn end_by_signal() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
            }
        });
        flag.store(true, Ordering::Relaxed);
    })?;
    Ok(ended)
}

/// Readings, an interval apart, from a thread of their own: a gateway that is slow to answer holds up no key.
fn readings(options: Options) -> Receiver<Result<Reading, ReadError>> {
    let (sender, readings) = sync_channel(1);
    std::thread::spawn(move || {
        loop {
            let begin = Instant::now();
            if sender.send(source::read(&options.admin)).is_err() {
                return;
            }
            std::thread::sleep(options.interval.saturating_sub(begin.elapsed()));
        }
    });
    readings
}

/// What is on the screen.
#[derive(Debug, Default)]
struct Shown {
    last: Option<Reading>,
    view: Option<View>,
    trouble: Option<String>,
}

impl Shown {
    /// A reading that failed leaves the figures before it on the screen, and says so.
    fn take(&mut self, reading: Result<Reading, ReadError>) {
        match reading {
            Ok(reading) => {
                if let Some(last) = self.last.take() {
                    let interval = reading.at.saturating_duration_since(last.at);
                    self.view = Some(View::between(&last.metrics, &reading.metrics, interval));
                }
                self.last = Some(reading);
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("{error}; tries again")),
        }
    }

    fn lines(&self, options: &Options) -> Vec<Line> {
        let wait = if self.view.is_none() && self.trouble.is_none() { ", first figures in a moment" } else { "" };
        let title = format!("{}{wait}, q ends", options.title());
        let size = size().ok().filter(|(width, height)| *width > 0 && *height > 0);
        let size = size.map_or(Size { width: 80, height: 24 }, |(width, height)| Size {
            width: usize::from(width),
            height: usize::from(height),
        });
        let stale = self.trouble.as_ref().map(|trouble| {
            let old = if self.view.is_some() { " (the figures below are the last ones)" } else { "" };
            format!("{trouble}{old}")
        });
        render(&title, stale.as_deref(), self.view.as_ref(), Some(size))
    }
}

/// Draws over what was there, in one write, which terminals that can show at once.
fn draw(lines: &[Line]) -> io::Result<()> {
    let mut frame = Vec::new();
    queue!(frame, BeginSynchronizedUpdate)?;
    for (row, line) in (0_u16..).zip(lines) {
        let attribute = match line.weight {
            Weight::Plain => Attribute::Reset,
            Weight::Head => Attribute::Bold,
            Weight::Alarm => Attribute::Reverse,
        };
        queue!(frame, MoveTo(0, row), SetAttribute(attribute), Print(&line.text), SetAttribute(Attribute::Reset))?;
        queue!(frame, Clear(ClearType::UntilNewLine))?;
    }
    let after = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    if size().is_ok_and(|(_, height)| after < height) {
        queue!(frame, MoveTo(0, after), Clear(ClearType::FromCursorDown))?;
    }
    queue!(frame, EndSynchronizedUpdate)?;
    let mut out = io::stdout().lock();
    out.write_all(&frame)?;
    out.flush()
}

/// The terminal while it is ours; given back when dropped, and before the message of a panic is printed.
#[derive(Debug)]
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on, whatever fails gives back what was taken.
        let screen = Self;
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            leave();
            report(about);
        }));
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// As well as it can be done: a terminal that is gone needs nothing back.
fn leave() {
    let _ = execute!(io::stdout(), Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_escape_and_control_c_end_the_view_and_nothing_else_does() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        assert!(is_end(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(is_end(&key(KeyCode::Esc, KeyModifiers::NONE)));
        assert!(is_end(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!is_end(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!is_end(&Event::Resize(80, 24)));
    }

    #[test]
    fn a_reading_that_failed_leaves_the_figures_and_the_next_takes_the_trouble_away() {
        let reading = |generation: u32| Reading {
            at: Instant::now(),
            metrics: super::super::exposition::Exposition::parse(&format!("witgate_generation {generation}\n"))
                .unwrap(),
        };
        let failure = || source::read(&"127.0.0.1:0".parse().unwrap());
        let mut shown = Shown::default();
        shown.take(failure());
        assert!(shown.trouble.as_ref().is_some_and(|trouble| trouble.contains("127.0.0.1:0")) && shown.view.is_none());
        shown.take(Ok(reading(1)));
        shown.take(Ok(reading(2)));
        assert!(shown.trouble.is_none() && shown.view.as_ref().is_some_and(|view| view.generation == 2));
        shown.take(failure());
        assert!(shown.trouble.is_some() && shown.view.is_some());
    }
}
