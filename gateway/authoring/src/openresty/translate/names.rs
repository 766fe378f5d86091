//! What code is called in messages: nginx names a directive and its line, the gateway a key of its configuration.

use super::super::text::Text;

/// Names of the gateway with those that nginx has for the same code.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<(Text, Text)>);

impl Names {
    /// `key` is the chunk's name in the gateway, `name` that in nginx.
    pub fn add(&mut self, key: Text, name: Text) {
        self.0.push((format!("{key}:"), format!("{name}:")));
    }

    /// `text` as nginx would have written it.
    pub fn translated(&self, text: &str) -> Text {
        let mut text = text.to_owned();
        for (key, name) in &self.0 {
            if text.contains(key.as_str()) {
                text = text.replace(key.as_str(), name);
            }
        }
        text
    }
}

/// A line of the gateway's log in the form of nginx's: `[level] message`.
pub fn log_line(names: &Names, line: &str) -> Text {
    // Short levels are padded to the width of the others.
    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (level, rest) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    // nginx goes on with the connection; cases look for the comma.
    let rest = rest.trim_start();
    let rest = if rest.contains(" request_id=") {
        rest.replacen(" request_id=", ", client: 127.0.0.1, server: localhost, request_id=", 1)
    } else {
        rest.replacen(" lua=", ", context: ngx.timer, client: 127.0.0.1, server: 0.0.0.0:80 lua=", 1)
    };
    let rest = names.translated(&rest);
    let (level, rest) = match level.trim() {
        "ERROR" => ("error", rest),
        "WARN" => ("warn", rest),
        "INFO" => ("info", rest),
        "DEBUG" => ("debug", rest),
        // The next line of a message of several.
        _ => return names.translated(line),
    };
    // A level of nginx that the gateway's log has no word for stands among the fields.
    let level = ["stderr", "emerg", "alert", "crit", "notice"]
        .into_iter()
        .find(|own| rest.contains(&format!("severity=\"{own}\"")))
        .unwrap_or(level);
    let level = if level == "stderr" { "" } else { level };
    format!("{time} [{level}] 1#1: *1 {}", as_nginx_says(&rest))
}

/// Messages about failed scripts in nginx's words.
fn as_nginx_says(message: &str) -> Text {
    let Some((_, error)) = message.split_once("runtime error: ") else { return message.to_owned() };
    if message.contains("aborted: runtime error: ") {
        return message.to_owned();
    }
    let phase = error.split(['(', ':']).next().unwrap_or_default();
    match phase {
        "set_by_lua" | "header_filter_by_lua" | "body_filter_by_lua" | "log_by_lua" | "balancer_by_lua" => {
            format!("failed to run {phase}*: {error}")
        }
        _ => format!("lua entry thread aborted: runtime error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_as_nginx_would_have_them() {
        let mut names = Names::default();
        names.add("scripts.l1.content".to_owned(), "content_by_lua(nginx.conf:40)".to_owned());
        names.add("scripts.l1.log".to_owned(), "log_by_lua(nginx.conf:42)".to_owned());
        let line = |text: &str| log_line(&names, text);
        assert_eq!(
            line("2026-01-01T00:00:00Z ERROR [lua] scripts.l1.content:3: hello request_id=\"x\""),
            "2026-01-01T00:00:00Z [error] 1#1: *1 [lua] content_by_lua(nginx.conf:40):3: hello, client: 127.0.0.1, server: localhost, request_id=\"x\""
        );
        assert_eq!(line("2026  WARN x"), "2026 [warn] 1#1: *1 x");
        assert_eq!(line("2026  INFO x severity=\"notice\""), "2026 [notice] 1#1: *1 x severity=\"notice\"");
        assert!(
            line("2026 ERROR stage: runtime error: scripts.l1.content:1: bad")
                .contains("lua entry thread aborted: runtime error: content_by_lua(nginx.conf:40):1: bad")
        );
        assert!(
            line("2026 ERROR runtime error: scripts.l1.log:1: bad")
                .contains("failed to run log_by_lua*: log_by_lua(nginx.conf:42):1: bad")
        );
        assert_eq!(line("\tscripts.l1.content:3: in main chunk"), "\tcontent_by_lua(nginx.conf:40):3: in main chunk");
    }
}
