//! Fields that concern one connection alone (RFC 9110, section 7.6.1).

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What `Connection` says besides names of fields.
const OPTIONS: [&str; 3] = ["close", "keep-alive", "upgrade"];

/// Fields that belong to the message, whatever `Connection` says.
const END_TO_END: [&str; 4] = ["content-length", "content-type", "host", "transfer-encoding"];

/// Splits what `Connection` names into options and fields to remove.
fn nominated(headers: &HeaderMap) -> (Vec<&'static str>, Vec<HeaderName>) {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let (mut options, mut fields) = (Vec::new(), Vec::new());
    for name in values.flat_map(|value| value.split(',')).map(str::trim) {
        if let Some(option) = OPTIONS.iter().find(|option| option.eq_ignore_ascii_case(name)) {
            options.push(*option);
        } else if let Ok(field) = HeaderName::from_bytes(name.as_bytes())
            && !END_TO_END.contains(&field.as_str())
        {
            fields.push(field);
        }
    }
    (options, fields)
}

/// Removes the fields that the client's `Connection` names, before any stage runs. Pingora would remove them when it
/// forwards the request, and with them what stages have set meanwhile: a client could take its own identity away.
///
/// # Errors
/// None in practice: what is put back consists of known words.
pub fn strip_request(request: &mut RequestHeader) -> Result<()> {
    if !request.headers.contains_key(CONNECTION) {
        return Ok(());
    }
    let (options, fields) = nominated(&request.headers);
    for field in &fields {
        request.remove_header(field);
    }
    match HeaderValue::from_str(&options.join(", ")) {
        Ok(kept) if !options.is_empty() => request.insert_header(CONNECTION, kept),
        _ => {
            request.remove_header(&CONNECTION);
            Ok(())
        }
    }
}

/// Removes what concerned the connection to the upstream alone. Framing fields stay: Pingora frames the message anew
/// from them.
pub fn strip_response(response: &mut ResponseHeader) {
    if response.headers.contains_key(CONNECTION) {
        for field in nominated(&response.headers).1 {
            response.remove_header(&field);
        }
        response.remove_header(&CONNECTION);
    }
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &TE, &UPGRADE] {
        if response.headers.contains_key(name) {
            response.remove_header(name);
        }
    }
}
