//! Files of snippets.

use std::fs;
use std::path::Path;

/// The phases that code can be for, by their names in both servers.
pub const PHASES: [&str; 6] = ["rewrite", "access", "content", "header_filter", "body_filter", "log"];

/// A snippet, see [`crate::snippets`].
#[derive(Debug, Clone, Default)]
pub struct Snippet {
    /// Name of its location, its route and its script.
    pub id: String,
    pub file: String,
    pub line: usize,
    pub title: String,
    /// What of docs/lua/api.toml it is about; `*` at the end stands for anything.
    pub names: Vec<String>,
    /// Code by phase.
    pub code: Vec<(&'static str, String)>,
    pub request: Option<String>,
    /// The request's body, if it is sent in a chunk.
    pub chunked: Option<String>,
    pub logs: bool,
    pub differs: Option<Differs>,
}

/// Why the gateway answers otherwise than nginx, and how.
#[derive(Debug, Clone, Default)]
pub struct Differs {
    /// The entry of docs/lua/api.toml that says why.
    pub entry: String,
    pub answer: String,
}

impl Snippet {
    /// Whether a phase has code.
    pub fn has(&self, phase: &str) -> bool {
        self.code.iter().any(|(known, _)| *known == phase)
    }
}

/// All snippets of a folder's files (`*.txt`), in the order of their names.
pub fn read(folder: &Path) -> Vec<Snippet> {
    let entries = fs::read_dir(folder).expect("a folder of snippets");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files.iter().flat_map(|file| of_file(file)).collect()
}

fn of_file(path: &Path) -> Vec<Snippet> {
    let file = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
    let stem = file.trim_end_matches(".txt");
    let text = fs::read_to_string(path).expect("readable");
    let mut snippets: Vec<Snippet> = Vec::new();
    let mut section = "content";
    for (at, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("== ") {
            let id = format!("{stem}{:03}", snippets.len() + 1);
            let (names, _) =
                title.split_once(": ").unwrap_or_else(|| panic!("{file}:{}: expected `NAMES: WHAT`", at + 1));
            let names = names.split(' ').map(str::to_owned).collect();
            let (file, title) = (file.clone(), title.to_owned());
            snippets.push(Snippet { id, file, line: at + 1, title, names, ..Snippet::default() });
            section = "content";
            continue;
        }
        let Some(snippet) = snippets.last_mut() else { continue };
        match line.strip_prefix('@') {
            Some(word) => section = begin(snippet, word, (&file, at + 1)),
            None => add(snippet, section, line),
        }
    }
    snippets
}

/// Begins a part of a snippet.
fn begin(snippet: &mut Snippet, word: &str, (file, line): (&str, usize)) -> &'static str {
    match word.split_once(' ').unwrap_or((word, "")) {
        ("request", "") => "request",
        ("chunked", "") => "chunked",
        ("logs", "") => {
            snippet.logs = true;
            "logs"
        }
        ("differs", entry) => {
            snippet.differs = Some(Differs { entry: entry.to_owned(), answer: String::new() });
            "differs"
        }
        (phase, "") if PHASES.contains(&phase) => PHASES.into_iter().find(|known| *known == phase).unwrap_or("content"),
        _ => panic!("{file}:{line}: there is no part `@{word}`"),
    }
}

fn add(snippet: &mut Snippet, section: &'static str, line: &str) {
    let text = match section {
        "request" => snippet.request.get_or_insert_default(),
        "chunked" => snippet.chunked.get_or_insert_default(),
        "differs" => &mut snippet.differs.get_or_insert_default().answer,
        "logs" => return,
        phase => {
            if !snippet.has(phase) {
                if line.is_empty() {
                    return;
                }
                snippet.code.push((phase, String::new()));
            }
            let Some((_, code)) = snippet.code.iter_mut().find(|(known, _)| *known == phase) else { return };
            code
        }
    };
    text.push_str(line);
    text.push('\n');
}
