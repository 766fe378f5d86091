//! One request and its response, as stages see them.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};
use parking_lot::Mutex;

use crate::{Accounts, BodyDesk, Edit, Edits, FieldError, Hook, Usage};

/// Head of a request. Stages see it as it came, the upstream as they left it.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: Method,
    /// Path in normal form, and query.
    pub path: PathAndQuery,
    pub headers: HeaderMap,
}

impl RequestHead {
    /// Makes the changes, in order. [`Edit::Status`] does not concern a request and is ignored.
    pub fn apply(&mut self, edits: Edits) {
        edits.into_iter().for_each(|edit| self.make(edit));
    }

    /// Makes one change, as [`Self::apply`] does.
    pub fn make(&mut self, edit: Edit) {
        match edit {
            Edit::Path(path) => self.path = path,
            Edit::Status(_) => {}
            field => field.make(&mut self.headers),
        }
    }
}

/// What a request was when it came, whatever stages have made of it since.
#[derive(Debug, Clone)]
pub struct Original {
    pub method: Method,
    /// As the client wrote it, not in normal form.
    pub target: PathAndQuery,
    /// Bytes of the head, if it came as bytes: not over HTTP/2.
    pub head_length: Option<u64>,
}

/// Head of a response: as the upstream sent it, then as stages left it.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

impl ResponseHead {
    /// Makes the changes, in order. [`Edit::Path`] does not concern a response and is ignored.
    pub fn apply(&mut self, edits: Edits) {
        edits.into_iter().for_each(|edit| self.make(edit));
    }

    /// Makes one change, as [`Self::apply`] does.
    pub fn make(&mut self, edit: Edit) {
        match edit {
            Edit::Status(status) => self.status = status,
            Edit::Path(_) => {}
            field => field.make(&mut self.headers),
        }
    }
}

/// The client's end of the connection.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// The gateway's end of its connection.
    pub local: SocketAddr,
    pub tls: bool,
    /// Server name of the TLS handshake.
    pub sni: Option<Arc<str>>,
}

/// How a request ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Status that the client got, if it got any.
    pub status: Option<StatusCode>,
    /// Code of the gateway's error envelope, if that was the answer.
    pub code: Option<&'static str>,
    /// Name of the stage that answered, if one did.
    pub stage: Option<String>,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// Body bytes received from the client, and sent to it.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// What a model said of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Name of the stage.
    pub stage: Arc<str>,
    pub value: f32,
}

/// One request and its response.
pub struct Exchange {
    pub request: RequestHead,
    pub original: Original,
    /// There once the upstream has answered.
    pub response: Option<ResponseHead>,
    /// A piece of the body, while a hook runs that is called with one.
    pub body: Bytes,
    /// No body, or no more of it, follows what is in hand.
    pub end_of_stream: bool,
    /// The heads have been sent: what is left to decide is about bodies.
    pub heads_sent: bool,
    /// How it ended, while the last hook runs.
    pub ended: Option<Ended>,
    /// Request id, unique and already validated.
    pub id: Arc<str>,
    /// Name of the route that matched.
    pub route: Arc<str>,
    /// Host and optional port that the client asked for, if not by a `Host` field.
    pub authority: Option<Arc<str>>,
    pub client: Client,
    pub attributes: Attributes,
    /// Changes to the response's fields that stages asked for before there was a response.
    pub response_edits: Edits,
    /// What the hook that ran last took: its stage says so.
    pub usage: Usage,
    /// What all hooks took so far, if that is wanted.
    pub accounts: Option<Accounts>,
    /// Name of the upstream that a stage chose instead of the route's.
    pub upstream: Option<Arc<str>>,
    /// The endpoint that a stage chose, one of the upstream's.
    pub endpoint: Option<SocketAddr>,
    /// Version of HTTP that the client speaks.
    pub version: Version,
    /// Where the request's body can be asked for in [`Hook::RequestHeaders`], if there is one.
    pub desk: Option<Arc<BodyDesk>>,
    /// Requests of stages to the gateway itself that this one is within.
    pub depth: u32,
    /// What models said of the request.
    pub scores: Vec<Score>,
    /// What stages took for as long as the request lasts (a place in a load scope, say): dropped when it ends.
    pub holds: Vec<Box<dyn Any + Send + Sync>>,
    /// Index of the step whose stage has it, or had it last.
    pub step: usize,
    /// Where it goes if whoever has it is cut off; none: it is gone then.
    pub home: Option<Arc<Home>>,
}

/// Where an exchange comes back to that was lent to a stage which was cut off in the middle of a hook.
///
/// A stage has the exchange itself, not a reference, and whoever cuts it off drops it with everything that it has. What is
/// known of the request must outlive that: the client gets an answer in the form that it asked for, and the record what ran.
#[derive(Default)]
pub struct Home(Mutex<Option<Box<Exchange>>>);

impl Home {
    /// What came back, if anything did.
    pub fn take(&self) -> Option<Box<Exchange>> {
        self.0.lock().take()
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Home").finish_non_exhaustive()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            let client = Client { address: NOWHERE, local: NOWHERE, tls: false, sni: None };
            let nothing =
                RequestHead { method: Method::GET, path: PathAndQuery::from_static("/"), headers: HeaderMap::new() };
            let blank = Self::new(nothing, Arc::default(), Arc::default(), client);
            let saved = Box::new(std::mem::replace(self, blank));
            *home.0.lock() = Some(saved);
        }
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Exchange {
    /// A request that has arrived like this and has no body.
    pub fn new(request: RequestHead, id: Arc<str>, route: Arc<str>, client: Client) -> Self {
        Self {
            original: Original { method: request.method.clone(), target: request.path.clone(), head_length: None },
            request,
            response: None,
            body: Bytes::new(),
            end_of_stream: true,
            heads_sent: false,
            ended: None,
            id,
            route,
            authority: None,
            client,
            attributes: Attributes::default(),
            response_edits: Edits::default(),
            usage: Usage::default(),
            accounts: None,
            upstream: None,
            endpoint: None,
            version: Version::HTTP_11,
            desk: None,
            depth: 0,
            scores: Vec::new(),
            holds: Vec::new(),
            step: 0,
            home: None,
        }
    }

    /// Takes the upstream's response in, with the changes made that stages asked for beforehand. `stays`: no stage can put
    /// another response in its place.
    pub fn answered(&mut self, mut head: ResponseHead, stays: bool) {
        if !self.response_edits.is_empty() {
            head.apply(if stays { std::mem::take(&mut self.response_edits) } else { self.response_edits.clone() });
        }
        self.response = Some(head);
    }

    /// Makes a stage's changes to the head that its hook is about.
    pub(crate) fn apply(&mut self, hook: Hook, edits: Edits) {
        match &mut self.response {
            _ if edits.is_empty() => {}
            Some(response) if hook.is_response() => response.apply(edits),
            _ => self.request.apply(edits),
        }
    }
}

/// Bytes that stages leave for later hooks and later stages of the same request.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    // A list: a request has a handful of attributes, and a map costs more than it saves.
    list: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Attributes {
    /// Most keys in one request.
    pub const KEYS_LIMIT: usize = 64;
    /// Most bytes of keys and values in one request: they live as long as it does.
    pub const BYTES_LIMIT: usize = 16 * 1024;

    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.list.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_slice())
    }

    /// Sets or replaces an attribute.
    ///
    /// # Errors
    /// [`FieldError::TooLarge`] beyond the limits; nothing has changed then.
    pub fn set(&mut self, key: &str, value: Vec<u8>) -> Result<(), FieldError> {
        let present = self.list.iter().position(|(k, _)| k == key);
        let freed = present.and_then(|at| self.list.get(at)).map_or(0, |(k, v)| k.len() + v.len());
        let bytes = self.bytes - freed + key.len() + value.len();
        if bytes > Self::BYTES_LIMIT || (present.is_none() && self.list.len() >= Self::KEYS_LIMIT) {
            return Err(FieldError::TooLarge);
        }
        self.bytes = bytes;
        match present.and_then(|at| self.list.get_mut(at)) {
            Some((_, old)) => *old = value,
            None => self.list.push((key.to_owned(), value)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        let request =
            RequestHead { method: Method::PUT, path: PathAndQuery::from_static("/a"), headers: HeaderMap::new() };
        let client = Client { address: NOWHERE, local: NOWHERE, tls: false, sni: None };
        Exchange::new(request, "id".into(), "route".into(), client)
    }

    #[test]
    fn an_exchange_that_is_dropped_comes_home_with_all_that_it_has() {
        let home = Arc::new(Home::default());
        let mut lent = Box::new(exchange());
        (lent.home, lent.step) = (Some(Arc::clone(&home)), 3);
        lent.attributes.set("k", b"v".to_vec()).unwrap();
        assert!(home.take().is_none(), "it is away");
        drop(lent);
        let back = home.take().expect("it came back");
        assert_eq!((&back.request.method, back.step, back.attributes.get("k")), (&Method::PUT, 3, Some(&b"v"[..])));
        assert!(back.home.is_none(), "it is lent anew with a new address");
        drop(back);
        assert!(home.take().is_none(), "once is enough");
    }

    #[test]
    fn an_attribute_can_be_set_and_replaced() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.get("k"), None);
        attributes.set("k", b"one".to_vec()).unwrap();
        attributes.set("k", b"two".to_vec()).unwrap();
        assert_eq!(attributes.get("k"), Some(&b"two"[..]));
    }

    #[test]
    fn the_number_of_attributes_is_limited() {
        let mut attributes = Attributes::default();
        for key in 0..Attributes::KEYS_LIMIT {
            attributes.set(&key.to_string(), vec![]).unwrap();
        }
        assert_eq!(attributes.set("one more", vec![]), Err(FieldError::TooLarge));
        assert_eq!(attributes.set("0", b"replaced".to_vec()), Ok(()));
    }

    #[test]
    fn the_bytes_of_attributes_are_limited_and_replacing_gives_them_back() {
        let mut attributes = Attributes::default();
        let large = || vec![0; Attributes::BYTES_LIMIT - 1];
        assert_eq!(attributes.set("k", large()), Ok(()));
        assert_eq!(attributes.set("l", vec![]), Err(FieldError::TooLarge));
        assert_eq!(attributes.get("l"), None);
        for _ in 0..3 {
            assert_eq!(attributes.set("k", large()), Ok(()), "the old value's bytes are free again");
        }
        assert_eq!(attributes.set("k", vec![]), Ok(()));
        assert_eq!(attributes.set("l", b"fits now".to_vec()), Ok(()));
    }
}
