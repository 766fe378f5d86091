//! Changes that stages ask for, valid by construction.

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};

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

/// Fields that frame the message or belong to one hop (RFC 9110, sections 7.6.1 and 8.6; RFC 9112, section 6). A stage
/// that could set them could smuggle requests.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Fields of a request that the gateway itself sets after the stages ran, so that they can be trusted upstream.
const REQUEST_OWNED: [&str; 6] =
    ["forwarded", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"];

/// Whether only the gateway may change this field.
pub fn is_forbidden(name: &HeaderName, side: Side) -> bool {
    FRAMING.contains(&name.as_str()) || (side == Side::Request && REQUEST_OWNED.contains(&name.as_str()))
}

fn allowed_name(name: &str, side: Side) -> Result<HeaderName, FieldError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldError::InvalidName)?;
    if is_forbidden(&name, side) { Err(FieldError::Forbidden) } else { Ok(name) }
}

/// A valid field that a stage may set on this side.
///
/// # Errors
/// [`FieldError`], by name first, then by value.
pub fn field(name: &str, value: &[u8], side: Side) -> Result<(HeaderName, HeaderValue), FieldError> {
    let name = allowed_name(name, side)?;
    if value.len() > VALUE_LIMIT {
        return Err(FieldError::TooLarge);
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| FieldError::InvalidValue)?;
    Ok((name, value))
}

/// The changes that one hook asks for, in order.
#[derive(Debug, Default, PartialEq, Eq)]
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
    pub fn set(&mut self, name: &str, value: &[u8], side: Side) -> Result<(), FieldError> {
        let (name, value) = field(name, value, side)?;
        self.push(name.as_str().len() + value.len(), Edit::Set(name, value))
    }

    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn append(&mut self, name: &str, value: &[u8], side: Side) -> Result<(), FieldError> {
        let (name, value) = field(name, value, side)?;
        self.push(name.as_str().len() + value.len(), Edit::Append(name, value))
    }

    /// # Errors
    /// [`FieldError`]; the list is then unchanged.
    pub fn remove(&mut self, name: &str, side: Side) -> Result<(), FieldError> {
        let name = allowed_name(name, side)?;
        self.push(name.as_str().len(), Edit::Remove(name))
    }

    /// Replaces path and query; origin form only (RFC 9112, section 3.2.1).
    ///
    /// # Errors
    /// [`FieldError::InvalidValue`] or [`FieldError::TooLarge`]; the list is then unchanged.
    pub fn set_path(&mut self, path_and_query: &str) -> Result<(), FieldError> {
        if path_and_query.len() > VALUE_LIMIT {
            return Err(FieldError::TooLarge);
        }
        if !path_and_query.starts_with('/') || path_and_query.contains('#') {
            return Err(FieldError::InvalidValue);
        }
        let path = path_and_query.parse().map_err(|_| FieldError::InvalidValue)?;
        self.push(path_and_query.len(), Edit::Path(path))
    }

    /// # Errors
    /// [`FieldError::InvalidValue`] outside 200 to 599: an interim or unknown status would break the message's framing.
    pub fn set_status(&mut self, status: u16) -> Result<(), FieldError> {
        let status = final_status(status).ok_or(FieldError::InvalidValue)?;
        self.push(0, Edit::Status(status))
    }

    fn push(&mut self, bytes: usize, edit: Edit) -> Result<(), FieldError> {
        let bytes = self.bytes + bytes + FIELD_OVERHEAD;
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

    /// Makes the changes that concern fields, in order.
    pub fn apply_to(&self, headers: &mut HeaderMap) {
        for edit in &self.list {
            match edit {
                Edit::Set(name, value) => drop(headers.insert(name.clone(), value.clone())),
                Edit::Append(name, value) => drop(headers.append(name.clone(), value.clone())),
                Edit::Remove(name) => drop(headers.remove(name)),
                Edit::Path(_) | Edit::Status(_) => {}
            }
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
