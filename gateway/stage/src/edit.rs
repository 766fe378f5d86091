//! Changes that stages ask for, valid by construction.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use witgate_http::owned;

/// Longest value that a stage may set, in bytes. Real values are far shorter; upstreams commonly stop at 8 to 16 KiB.
pub const VALUE_LIMIT: usize = 16 * 1024;
/// Most bytes of names and values that one hook may set in all: as much as a whole request head may have by default.
pub const EDITS_LIMIT: usize = 64 * 1024;
/// What each change counts on top of its bytes, as in RFC 7541, section 4.1: it bounds their number as well.
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// One change to a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replaces every field of this name by one.
    Set(HeaderName, HeaderValue),
    /// Adds a field and keeps those of the same name.
    Append(HeaderName, HeaderValue),
    /// Removes every field of this name.
    Remove(HeaderName),
    /// Replaces path and query (requests only).
    Path(PathAndQuery),
    /// Replaces the status (responses only).
    Status(StatusCode),
}

impl Edit {
    /// Replaces a field.
    ///
    /// # Errors
    /// [`FieldError::Forbidden`] or [`FieldError::TooLarge`].
    pub fn set(name: HeaderName, value: HeaderValue, side: Side) -> Result<Self, FieldError> {
        Ok(Self::Set(allowed(name, side)?, short(value)?))
    }

    /// Adds a field.
    ///
    /// # Errors
    /// As [`Edit::set`].
    pub fn append(name: HeaderName, value: HeaderValue, side: Side) -> Result<Self, FieldError> {
        Ok(Self::Append(allowed(name, side)?, short(value)?))
    }

    /// Removes a field.
    ///
    /// # Errors
    /// [`FieldError::Forbidden`].
    pub fn remove(name: HeaderName, side: Side) -> Result<Self, FieldError> {
        allowed(name, side).map(Self::Remove)
    }

    /// Replaces path and query; origin form only (RFC 9112, section 3.2.1).
    ///
    /// # Errors
    /// [`FieldError::InvalidValue`] or [`FieldError::TooLarge`].
    pub fn path(path_and_query: &str) -> Result<Self, FieldError> {
        if path_and_query.len() > VALUE_LIMIT {
            return Err(FieldError::TooLarge);
        }
        if !path_and_query.starts_with('/') || path_and_query.contains('#') {
            return Err(FieldError::InvalidValue);
        }
        path_and_query.parse().map(Self::Path).map_err(|_| FieldError::InvalidValue)
    }

    /// Replaces the status.
    ///
    /// # Errors
    /// [`FieldError::InvalidValue`] outside 200 to 599: an interim or unknown status would break the message's framing.
    pub fn status(status: u16) -> Result<Self, FieldError> {
        final_status(status).map(Self::Status).ok_or(FieldError::InvalidValue)
    }

    /// What it counts against [`EDITS_LIMIT`].
    pub fn size(&self) -> usize {
        FIELD_OVERHEAD
            + match self {
                Self::Set(name, value) | Self::Append(name, value) => name.as_str().len() + value.len(),
                Self::Remove(name) => name.as_str().len(),
                Self::Path(path) => path.as_str().len(),
                Self::Status(_) => 0,
            }
    }

    /// The field that it concerns.
    pub fn name(&self) -> Option<&HeaderName> {
        match self {
            Self::Set(name, _) | Self::Append(name, _) | Self::Remove(name) => Some(name),
            Self::Path(_) | Self::Status(_) => None,
        }
    }

    /// Makes a change that concerns fields; the others do nothing here.
    pub fn make(self, headers: &mut HeaderMap) {
        match self {
            Self::Set(name, value) => drop(headers.insert(name, value)),
            Self::Append(name, value) => drop(headers.append(name, value)),
            Self::Remove(name) => drop(headers.remove(name)),
            Self::Path(_) | Self::Status(_) => {}
        }
    }
}

/// Which head a field belongs to: the gateway owns different fields on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("the name is not a header field name")]
    InvalidName,
    #[error("the value holds a byte that is not allowed there")]
    InvalidValue,
    #[error("the field belongs to the gateway")]
    Forbidden,
    #[error("the change exceeds a size limit")]
    TooLarge,
    #[error("the head is read-only here")]
    ReadOnly,
}

/// Whether only the gateway may change this field: `witgate_http::owned` has the table.
pub fn is_forbidden(name: &HeaderName, side: Side) -> bool {
    match side {
        Side::Request => owned::is_owned_in_requests(name.as_str()),
        Side::Response => owned::is_framing(name.as_str()),
    }
}

fn allowed(name: HeaderName, side: Side) -> Result<HeaderName, FieldError> {
    if is_forbidden(&name, side) { Err(FieldError::Forbidden) } else { Ok(name) }
}

fn allowed_name(name: &str, side: Side) -> Result<HeaderName, FieldError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldError::InvalidName).and_then(|name| allowed(name, side))
}

/// A value that is not too long.
fn short<V: AsRef<[u8]>>(value: V) -> Result<V, FieldError> {
    if value.as_ref().len() > VALUE_LIMIT { Err(FieldError::TooLarge) } else { Ok(value) }
}

/// A valid field that a stage may set on this side.
///
/// # Errors
/// [`FieldError`], by name first, then by value.
pub fn field(name: &str, value: impl Into<Vec<u8>>, side: Side) -> Result<(HeaderName, HeaderValue), FieldError> {
    let (name, value) = (allowed_name(name, side)?, short(Bytes::from(value.into()))?);
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| FieldError::InvalidValue)?;
    Ok((name, value))
}

/// Changes that stages ask for, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    list: Vec<Edit>,
    bytes: usize,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.list.iter()
    }

    /// Position to return to by [`Edits::rewind`]: for changes that must be made together or not at all.
    pub fn mark(&self) -> (usize, usize) {
        (self.list.len(), self.bytes)
    }

    /// Forgets what was added since the mark.
    pub fn rewind(&mut self, (length, bytes): (usize, usize)) {
        self.list.truncate(length);
        self.bytes = bytes;
    }

    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>, side: Side) -> Result<(), FieldError> {
        let (name, value) = field(name, value, side)?;
        self.add(Edit::Set(name, value))
    }

    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn append(&mut self, name: &str, value: impl Into<Vec<u8>>, side: Side) -> Result<(), FieldError> {
        let (name, value) = field(name, value, side)?;
        self.add(Edit::Append(name, value))
    }

    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn remove(&mut self, name: &str, side: Side) -> Result<(), FieldError> {
        let name = allowed_name(name, side)?;
        self.add(Edit::Remove(name))
    }

    /// As [`Edit::path`].
    ///
    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn set_path(&mut self, path_and_query: &str) -> Result<(), FieldError> {
        self.add(Edit::path(path_and_query)?)
    }

    /// As [`Edit::status`].
    ///
    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn set_status(&mut self, status: u16) -> Result<(), FieldError> {
        self.add(Edit::status(status)?)
    }

    /// # Errors
    /// [`FieldError::TooLarge`]; the list is then unchanged.
    pub fn add(&mut self, edit: Edit) -> Result<(), FieldError> {
        let bytes = self.bytes + edit.size();
        if bytes > EDITS_LIMIT {
            return Err(FieldError::TooLarge);
        }
        self.bytes = bytes;
        self.list.push(edit);
        Ok(())
    }

    /// The values of a field as they will be once these changes are made to `base`, in order.
    ///
    /// Cost: linear in the number of edits and in the values of the field.
    pub fn values<'a>(&'a self, base: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        let replaced =
            self.list.iter().rposition(|edit| matches!(edit, Edit::Set(n, _) | Edit::Remove(n) if n == name));
        let kept = replaced.is_none().then(|| base.get_all(name).into_iter());
        let edits = self.list.get(replaced.unwrap_or(0)..).unwrap_or_default();
        let edited = edits.iter().filter_map(move |edit| match edit {
            Edit::Set(n, value) | Edit::Append(n, value) if n == name => Some(value),
            _ => None,
        });
        kept.into_iter().flatten().chain(edited)
    }

    /// Makes the changes to an answer of a stage or of the gateway: fields that it has itself stay as they are.
    pub fn apply_beneath(&self, headers: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        let own = std::mem::take(headers);
        self.apply_to(headers);
        for name in own.keys() {
            headers.remove(name);
        }
        headers.extend(own);
    }

    /// Makes the changes that concern fields, in order.
    pub fn apply_to(&self, headers: &mut HeaderMap) {
        for edit in &self.list {
            edit.clone().make(headers);
        }
    }
}

impl IntoIterator for Edits {
    type Item = Edit;
    type IntoIter = std::vec::IntoIter<Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// A status that a stage may give to a response: final ones only, 200 to 599 (RFC 9110, section 15).
pub fn final_status(status: u16) -> Option<StatusCode> {
    if (200..=599).contains(&status) { StatusCode::from_u16(status).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["accept", "x-a", "x-b", "set-cookie"];

    /// Edits of a handful of names, so that they meet often.
    fn any_edits() -> impl Strategy<Value = Edits> {
        let step = (0..3_u8, 0..NAMES.len(), "[a-z]{0,4}");
        proptest::collection::vec(step, 0..12).prop_map(|steps| {
            let mut edits = Edits::default();
            for (kind, name, value) in steps {
                let (name, value) = (NAMES[name], value.as_bytes());
                match kind {
                    0 => edits.set(name, value, Side::Request),
                    1 => edits.append(name, value, Side::Request),
                    _ => edits.remove(name, Side::Request),
                }
                .unwrap();
            }
            edits
        })
    }

    fn any_headers() -> impl Strategy<Value = HeaderMap> {
        proptest::collection::vec((0..NAMES.len(), "[a-z]{0,4}"), 0..8).prop_map(|fields| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(NAMES[name], value.parse().unwrap());
            }
            headers
        })
    }

    proptest! {
        /// What a guest reads after its changes is what the proxy will send.
        #[test]
        fn values_are_those_of_the_head_once_the_edits_are_made(base in any_headers(), edits in any_edits()) {
            let mut made = base.clone();
            edits.apply_to(&mut made);
            for name in NAMES.map(HeaderName::from_static) {
                let read: Vec<_> = edits.values(&base, &name).collect();
                let sent: Vec<_> = made.get_all(&name).into_iter().collect();
                prop_assert_eq!(read, sent);
            }
        }

        /// Beneath an answer, a field is the answer's own or else what the edits alone make of it.
        #[test]
        fn an_answer_keeps_its_own_fields(own in any_headers(), edits in any_edits()) {
            let (mut made, mut alone) = (own.clone(), HeaderMap::new());
            edits.apply_beneath(&mut made);
            edits.apply_to(&mut alone);
            for name in NAMES {
                let from = if own.contains_key(name) { &own } else { &alone };
                let (got, wanted): (Vec<_>, Vec<_>) =
                    (made.get_all(name).into_iter().collect(), from.get_all(name).into_iter().collect());
                prop_assert_eq!(got, wanted);
            }
        }

        #[test]
        fn rewinding_forgets_exactly_what_came_after_the_mark(first in any_edits(), name in 0..NAMES.len()) {
            let mut edits = Edits::default();
            for edit in first.iter() {
                match edit {
                    Edit::Set(name, value) => edits.set(name.as_str(), value.as_bytes(), Side::Request).unwrap(),
                    Edit::Append(name, value) => edits.append(name.as_str(), value.as_bytes(), Side::Request).unwrap(),
                    Edit::Remove(name) => edits.remove(name.as_str(), Side::Request).unwrap(),
                    Edit::Path(_) | Edit::Status(_) => {}
                }
            }
            let mark = edits.mark();
            edits.set(NAMES[name], b"later", Side::Request).unwrap();
            edits.rewind(mark);
            prop_assert_eq!(edits, first);
        }

        /// Whatever a guest passes, what is accepted can stand in a head.
        #[test]
        fn no_accepted_field_can_split_a_message(name in any::<String>(), value in any::<Vec<u8>>()) {
            if let Ok((name, value)) = field(&name, value, Side::Response) {
                prop_assert!(!name.as_str().bytes().any(|byte| byte.is_ascii_control() || byte == b':' || byte == b' '));
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')));
            }
        }
    }

    #[test]
    fn fields_of_the_gateway_are_forbidden_in_any_case() {
        let owned = owned::FRAMING.into_iter().chain(owned::VOUCHED).map(str::to_ascii_uppercase);
        let others = ["Content-Length", "te", "Host", "Via", "x_request_id", "X_Forwarded-For"].map(str::to_owned);
        for name in owned.chain(others) {
            let name = name.as_str();
            assert_eq!(Edits::default().set(name, b"1", Side::Request), Err(FieldError::Forbidden), "{name}");
            assert_eq!(Edits::default().append(name, b"1", Side::Request), Err(FieldError::Forbidden), "{name}");
            assert_eq!(Edits::default().remove(name, Side::Request), Err(FieldError::Forbidden), "{name}");
        }
    }

    #[test]
    fn a_stage_may_set_what_a_client_may_only_claim() {
        for name in ["x-real-ip", "x-forwarded-prefix", "client-cert", "x-original-url"] {
            assert!(owned::is_claim(name));
            assert_eq!(Edits::default().set(name, b"1", Side::Request), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_response_may_have_fields_that_only_a_requests_proxy_owns() {
        assert_eq!(Edits::default().set("via", b"1.1 own", Side::Response), Ok(()));
        assert_eq!(Edits::default().set("content-length", b"1", Side::Response), Err(FieldError::Forbidden));
    }

    #[test]
    fn names_and_values_are_checked() {
        let mut edits = Edits::default();
        for name in ["", "a b", "a:b", ":path", "a\r\nb", "ü"] {
            assert_eq!(edits.set(name, b"1", Side::Request), Err(FieldError::InvalidName), "{name:?}");
        }
        for value in [&b"a\r\nb: c"[..], b"a\nb", b"a\0b", b"\x7f"] {
            assert_eq!(edits.set("a", value, Side::Request), Err(FieldError::InvalidValue), "{value:?}");
        }
        assert_eq!(edits.set("a", "bytes are allowed: ü".as_bytes(), Side::Request), Ok(()));
    }

    #[test]
    fn a_long_value_is_refused() {
        let mut edits = Edits::default();
        assert_eq!(edits.set("a", vec![b'x'; VALUE_LIMIT], Side::Request), Ok(()));
        assert_eq!(edits.set("a", vec![b'x'; VALUE_LIMIT + 1], Side::Request), Err(FieldError::TooLarge));
    }

    #[test]
    fn edits_are_limited_in_bytes_and_a_refused_one_leaves_no_trace() {
        let mut edits = Edits::default();
        let value = vec![b'x'; VALUE_LIMIT];
        let made = (0..10).take_while(|_| edits.append("a", value.clone(), Side::Request).is_ok()).count();
        assert_eq!(made, 3, "the fourth value of 16 KiB is over 64 KiB with its name");
        assert_eq!(edits.iter().count(), 3);
        assert_eq!(edits.set("a", b"small", Side::Request), Ok(()));
    }

    #[test]
    fn edits_without_bytes_are_limited_in_number() {
        let mut edits = Edits::default();
        assert!((0..EDITS_LIMIT).any(|_| edits.set_status(200).is_err()));
        assert_eq!(edits.iter().count(), EDITS_LIMIT / FIELD_OVERHEAD);
    }

    #[test]
    fn a_path_must_be_in_origin_form() {
        let mut edits = Edits::default();
        for path in ["", "a", "http://host/a", "*", "/a#b", "/a b", "/a\r\n"] {
            assert_eq!(edits.set_path(path), Err(FieldError::InvalidValue), "{path:?}");
        }
        assert_eq!(edits.set_path(&format!("/{}", "a".repeat(VALUE_LIMIT))), Err(FieldError::TooLarge));
        assert_eq!(edits.set_path("/a/b?c=d"), Ok(()));
    }

    #[test]
    fn only_final_statuses_can_be_set() {
        for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
            assert_eq!(Edits::default().set_status(status), Err(FieldError::InvalidValue), "{status}");
        }
        for status in [200, 299, 418, 599] {
            assert_eq!(Edits::default().set_status(status), Ok(()));
        }
    }
}
