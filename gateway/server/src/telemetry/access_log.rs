//! One JSON line for each request.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use serde::Serialize;
use witgate_config as config;

use super::Metrics;
use super::log_writer::{Control, Line, LogFile, write_lines};

/// Lines that may wait for the disk. A line has some 400 bytes, so this bounds the queue to a few megabytes; beyond it
/// lines are dropped and counted, because a slow disk must not stop traffic.
pub(super) const QUEUE_LIMIT: usize = 16 * 1024;
/// Longest wait for the log to be opened anew. A disk that takes longer has trouble of its own; the log is opened anew once
/// it is over.
const REOPEN_TIME: Duration = Duration::from_secs(2);
/// Longest wait for the last records when the gateway ends: nobody may read what standard output is connected to.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What is known of a request when it has ended. Absent values are left out of the line.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    /// End of the request, RFC 3339 in UTC.
    pub time: String,
    pub request_id: &'a str,
    pub client: Option<String>,
    pub method: &'a str,
    pub host: Option<&'a str>,
    /// Without the query, which may hold secrets.
    pub path: &'a str,
    pub protocol: &'static str,
    pub route: Option<&'a str>,
    /// Generation of the configuration that served the whole request.
    pub generation: u64,
    /// 0: nothing was sent, because the client had left or the connection was cut.
    pub status: u16,
    /// Code of the error that the gateway answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Stage that answered or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'a str>,
    /// Endpoint that was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Body bytes read from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// From the end of the request's head to the end of the request.
    pub duration_ms: f64,
    /// What the hooks of stages took, in the order in which they first ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRecord<'a>>,
    /// What models said of the request, by stage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<&'a str, f32>,
    /// What went wrong, for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// All runs of one hook of a stage for a request. Times in microseconds.
#[derive(Debug, Serialize)]
pub struct StageRecord<'a> {
    pub stage: &'a str,
    pub hook: &'static str,
    /// More than one for a body that came in pieces.
    #[serde(skip_serializing_if = "is_one")]
    pub runs: u32,
    #[serde(skip_serializing_if = "is_none")]
    pub failures: u32,
    pub duration_us: f64,
    /// Time in which the guest ran.
    pub guest_us: f64,
    /// Time in which its host calls ran.
    pub host_us: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub queued_us: f64,
    /// Bytes copied to the guest.
    pub bytes_in: u64,
    /// Bytes copied from it.
    pub bytes_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_nothing(time: &f64) -> bool {
    *time == 0.0
}

/// Takes records on the request path and writes them on a thread of its own.
#[derive(Debug)]
pub struct AccessLog {
    queue: Option<SyncSender<Line>>,
    control: Arc<Control>,
    /// Closed by the thread when it has ended.
    ended: Mutex<Option<Receiver<()>>>,
    dropped: IntCounter,
}

impl AccessLog {
    /// # Errors
    /// The file cannot be opened for appending, or the thread cannot be started.
    pub fn open(output: &config::AccessLog, metrics: &Metrics) -> io::Result<Self> {
        let control = Arc::new(Control::default());
        let dropped = metrics.access_records_dropped.clone();
        let file = match output {
            config::AccessLog::Off => return Ok(Self { queue: None, control, ended: Mutex::new(None), dropped }),
            config::AccessLog::Stdout => LogFile::stdout()?,
            config::AccessLog::File(path) => LogFile::open(&path.value)?,
        };
        let file = file.counting(metrics.access_log_failures.clone(), dropped.clone());
        let (queue, lines) = sync_channel(QUEUE_LIMIT);
        let (ending, ended) = sync_channel(0);
        let told = Arc::clone(&control);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            let _ending = ending;
            write_lines(&lines, &told, file);
        })?;
        Ok(Self { queue: Some(queue), control, ended: Mutex::new(Some(ended)), dropped })
    }

    /// Whether records are wanted at all: they cost something to make.
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues a record; never blocks.
    pub fn write(&self, record: &Record<'_>) {
        let Some(queue) = &self.queue else { return };
        let mut line = Vec::with_capacity(512);
        if serde_json::to_writer(&mut line, record).is_err() {
            return;
        }
        line.push(b'\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Line::Record(line)) {
            self.dropped.inc();
        }
    }

    /// Has the file opened anew by its name, as after it has been renamed, and waits until that is done: nothing is written
    /// to the old file afterwards. Where it cannot be opened, records go on to the old one, and it is tried again every
    /// second. Blocks for two seconds at most.
    pub fn reopen(&self) {
        let Some(queue) = &self.queue else { return };
        let (done, is_done) = sync_channel(1);
        self.control.reopen(done);
        // Full means that the thread is awake.
        let _ = queue.try_send(Line::Look);
        // An error means that it takes too long, or that there is no file.
        let _ = is_done.recv_timeout(REOPEN_TIME);
    }
}

impl Drop for AccessLog {
    /// Waits until what was queued is written, if it can be.
    fn drop(&mut self) {
        self.control.close();
        self.queue = None;
        if let Some(ended) = self.ended.lock().take() {
            let _ = ended.recv_timeout(CLOSE_TIME);
        }
    }
}
