//! Lends Pingora's heads to the stages: moved, not copied, and given back with their edits made.

use std::any::Any;
use std::sync::LazyLock;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use witgate_stage::{Edit, Edits, RequestHead, ResponseHead};

/// Path of a head that has none; routing refuses those before stages run.
static ROOT: LazyLock<PathAndQuery> = LazyLock::new(|| PathAndQuery::from_static("/"));

struct LentRequest(RequestHeader);

impl RequestHead for LentRequest {
    fn method(&self) -> &Method {
        &self.0.method
    }

    fn path_and_query(&self) -> &PathAndQuery {
        self.0.uri.path_and_query().unwrap_or(&ROOT)
    }

    fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    fn apply(&mut self, edits: Edits) {
        for edit in edits {
            // Names and values of edits are valid by construction, so Pingora has nothing to refuse.
            match edit {
                Edit::Set(name, value) => drop(self.0.insert_header(name, value)),
                Edit::Append(name, value) => drop(self.0.append_header(name, value)),
                Edit::Remove(name) => drop(self.0.remove_header(&name)),
                Edit::Path(path) => self.0.set_uri(with_path(&self.0.uri, path)),
                Edit::Status(_) => {}
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The URI with another path: of HTTP/2 requests it keeps scheme and authority.
pub fn with_path(uri: &Uri, path: PathAndQuery) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.clone());
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(path))
}

struct LentResponse(ResponseHeader);

impl ResponseHead for LentResponse {
    fn status(&self) -> StatusCode {
        self.0.status
    }

    fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    fn apply(&mut self, edits: Edits) {
        for edit in edits {
            match edit {
                Edit::Set(name, value) => drop(self.0.insert_header(name, value)),
                Edit::Append(name, value) => drop(self.0.append_header(name, value)),
                Edit::Remove(name) => drop(self.0.remove_header(&name)),
                Edit::Status(status) => drop(self.0.set_status(status)),
                Edit::Path(_) => {}
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Stands in an exchange between hooks, when the proxy has its head back. Takes no space, so boxing it costs nothing.
pub struct Absent;

static NO_FIELDS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

impl RequestHead for Absent {
    fn method(&self) -> &Method {
        &Method::GET
    }

    fn path_and_query(&self) -> &PathAndQuery {
        &ROOT
    }

    fn headers(&self) -> &HeaderMap {
        &NO_FIELDS
    }

    fn apply(&mut self, _edits: Edits) {}

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Takes a head out of Pingora's session; a blank one stands in for it meanwhile.
pub fn lend_request(head: &mut RequestHeader) -> pingora::Result<Box<dyn RequestHead>> {
    let blank = RequestHeader::build_no_case(Method::GET, b"/", Some(0))?;
    Ok(Box::new(LentRequest(std::mem::replace(head, blank))))
}

/// Puts a head back where it was taken from.
pub fn return_request(lent: Box<dyn RequestHead>, head: &mut RequestHeader) {
    if let Ok(lent) = lent.into_any().downcast::<LentRequest>() {
        *head = lent.0;
    }
}

/// Takes a response head; a blank one stands in for it meanwhile.
pub fn lend_response(head: &mut ResponseHeader) -> pingora::Result<Box<dyn ResponseHead>> {
    let blank = ResponseHeader::build_no_case(StatusCode::OK, Some(0))?;
    Ok(Box::new(LentResponse(std::mem::replace(head, blank))))
}

/// Puts a response head back.
pub fn return_response(lent: Box<dyn ResponseHead>, head: &mut ResponseHeader) {
    if let Ok(lent) = lent.into_any().downcast::<LentResponse>() {
        *head = lent.0;
    }
}
