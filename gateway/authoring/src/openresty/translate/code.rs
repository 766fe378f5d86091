//! Lua that stands in for directives of nginx.

use super::super::text::Text;

/// A text of Lua that is `text`.
pub fn quote(text: &str) -> Text {
    let mut quoted = Text::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            // Bytes, three digits each, so that a digit which follows is none of them.
            c => quoted.push_str(&format!("\\{:03}", u32::from(c).min(255))),
        }
    }
    quoted.push('"');
    quoted
}

/// An expression of Lua for a text with variables of nginx in it; `captures` are expressions for those of a location's pattern.
pub fn interpolate(text: &str, captures: &[Text]) -> Text {
    let mut parts = Vec::new();
    let mut plain = Text::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        let (name, left) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((name, left)) => (name, left),
            None => {
                let digits = after.starts_with(|c: char| c.is_ascii_digit());
                let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                let end = if digits { 1 } else { after.find(ends).unwrap_or(after.len()) };
                after.split_at(end)
            }
        };
        rest = left;
        if name.is_empty() {
            plain.push('$');
        } else if let Ok(number) = name.parse::<usize>() {
            if !plain.is_empty() {
                parts.push(quote(&std::mem::take(&mut plain)));
            }
            parts.extend(number.checked_sub(1).and_then(|index| captures.get(index)).cloned());
        } else {
            if !plain.is_empty() {
                parts.push(quote(&std::mem::take(&mut plain)));
            }
            parts.push(match name {
                "echo_request_method" | "echo_client_request_method" => "ngx.req.get_method()".to_owned(),
                "echo_request_body" => "(ngx.req.get_body_data() or \"\")".to_owned(),
                "echo_client_request_headers" => "ngx.req.raw_header()".to_owned(),
                "echo_request_uri" => "ngx.var.request_uri".to_owned(),
                name => format!("(ngx.var[{}] or \"\")", quote(name)),
            });
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(quote(&plain));
    }
    parts.join(" .. ")
}

/// What `return STATUS TEXT`, `return URL` do.
pub fn returns(arguments: &[Text], captures: &[Text]) -> Option<Text> {
    match arguments {
        [status] if status.parse::<u16>().is_ok() => Some(format!("ngx.exit({status})")),
        [url] => Some(format!("return ngx.redirect({}, 302)", interpolate(url, captures))),
        [status, text] => {
            let number: u16 = status.parse().ok()?;
            let text = interpolate(text, captures);
            Some(match number {
                301 | 302 | 303 | 307 | 308 => format!("return ngx.redirect({text}, {number})"),
                _ => format!("ngx.status = {number} ngx.print({text}) ngx.exit({number})"),
            })
        }
        _ => None,
    }
}

/// What the directives of nginx's echo module do, one statement each.
pub fn echo(name: &str, arguments: &[Text], captures: &[Text]) -> Option<Text> {
    let values: Vec<Text> = arguments.iter().map(|argument| interpolate(argument, captures)).collect();
    let first = values.first().cloned().unwrap_or_else(|| "\"\"".to_owned());
    Some(match name {
        "echo" => {
            let silent = arguments.first().is_some_and(|option| option == "-n");
            let mut skip = usize::from(silent);
            // What follows is text even if it looks like an option.
            skip += usize::from(arguments.get(skip).is_some_and(|option| option == "--"));
            let joined = values.get(skip..).unwrap_or_default().join(" .. \" \" .. ");
            let joined = if joined.is_empty() { "\"\"".to_owned() } else { joined };
            format!("ngx.{}({joined})", if silent { "print" } else { "say" })
        }
        "echo_duplicate" => format!("ngx.print(({}):rep({first}))", values.get(1)?),
        "echo_flush" => "ngx.flush(true)".to_owned(),
        "echo_sleep" | "echo_blocking_sleep" => format!("ngx.sleep(tonumber({first}))"),
        "echo_status" => format!("ngx.status = tonumber({first})"),
        "echo_read_request_body" => "ngx.req.read_body()".to_owned(),
        "echo_request_body" => "ngx.req.read_body() ngx.print(ngx.req.get_body_data() or \"\")".to_owned(),
        "echo_client_request_headers" => "ngx.print(ngx.req.raw_header())".to_owned(),
        "echo_location" | "echo_location_async" => {
            let arguments = values.get(1).cloned().unwrap_or_else(|| "nil".to_owned());
            format!(
                "do local res = ngx.location.capture({first}, {{ args = {arguments} }}) \
                 ngx.print(res.body) end"
            )
        }
        "echo_subrequest" | "echo_subrequest_async" => {
            let mut options = vec![format!("method = ngx[\"HTTP_\" .. {first}]")];
            let mut rest = arguments.iter().skip(2).zip(values.iter().skip(2));
            while let Some((option, _)) = rest.next() {
                let key = match option.as_str() {
                    "-q" => "args",
                    "-b" => "body",
                    _ => return None,
                };
                options.push(format!("{key} = {}", rest.next()?.1));
            }
            let uri = values.get(1)?;
            format!("do local res = ngx.location.capture({uri}, {{ {} }}) ngx.print(res.body) end", options.join(", "))
        }
        "echo_exec" => match values.get(1) {
            Some(arguments) => format!("return ngx.exec({first}, {arguments})"),
            None => format!("return ngx.exec({first})"),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_expressions() {
        assert_eq!(quote("a\"\\\n\u{ff}1"), r#""a\"\\\010\2551""#);
        assert_eq!(interpolate("", &[]), "\"\"");
        assert_eq!(interpolate("a${b}c$d", &[]), r#""a" .. (ngx.var["b"] or "") .. "c" .. (ngx.var["d"] or "")"#);
        assert_eq!(interpolate("/$1x$2", &["one".to_owned()]), "\"/\" .. one .. \"x\"");
    }

    #[test]
    fn directives_become_statements() {
        let arguments = |all: &[&str]| all.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
        assert_eq!(echo("echo", &arguments(&["-n", "a", "b"]), &[]).unwrap(), r#"ngx.print("a" .. " " .. "b")"#);
        assert_eq!(echo("echo", &arguments(&["-n", "--", "-n"]), &[]).unwrap(), r#"ngx.print("-n")"#);
        assert_eq!(echo("echo", &[], &[]).unwrap(), "ngx.say(\"\")");
        assert_eq!(returns(&arguments(&["404"]), &[]).unwrap(), "ngx.exit(404)");
        assert_eq!(returns(&arguments(&["/x"]), &[]).unwrap(), "return ngx.redirect(\"/x\", 302)");
        assert_eq!(echo("echo_foreach_split", &[], &[]), None);
    }
}
