//! What scripts change of a request and its response, at once, and how that is undone if their hook fails.

use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, Entry, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use witgate_stage::{EDITS_LIMIT, Edit, Exchange, FieldError, Side};

/// The changes of one hook.
#[derive(Default)]
pub(crate) struct Changes {
    /// Counts against what a hook may change.
    size: usize,
    undo: Vec<Undo>,
}

/// What a change has replaced.
enum Undo {
    Field(Side, HeaderName, Former),
    Path(PathAndQuery),
    Method(Method),
    Status(StatusCode),
    Endpoint(Option<SocketAddr>),
    /// A mark in the edits for a response that is not there yet.
    ResponseEdits((usize, usize)),
}

/// The values that a field had: nearly always one, if any.
#[derive(Default)]
struct Former {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl Changes {
    /// Makes all of these changes or none. Before there is a response, changes of it are for the script's own one, which is the
    /// `draft`, and, if it lets the request pass, for the upstream's.
    ///
    /// # Errors
    /// They are too large together with those before.
    pub fn make(
        &mut self,
        (exchange, draft): (&mut Exchange, &mut HeaderMap),
        side: Side,
        (first, others): (Edit, Vec<Edit>),
    ) -> Result<(), FieldError> {
        let size = self.size + first.size() + others.iter().map(Edit::size).sum::<usize>();
        if size > EDITS_LIMIT {
            return Err(FieldError::TooLarge);
        }
        if side == Side::Response && exchange.response.is_none() {
            let mark = exchange.response_edits.mark();
            let to_come = &mut exchange.response_edits;
            let mut edits = std::iter::once(&first).chain(&others);
            if let Err(error) = edits.try_for_each(|edit| to_come.add(edit.clone())) {
                to_come.rewind(mark);
                return Err(error);
            }
            self.undo.push(Undo::ResponseEdits(mark));
        }
        self.size = size;
        self.make_one((exchange, draft), side, first);
        if !others.is_empty() {
            others.into_iter().for_each(|edit| self.make_one((exchange, draft), side, edit));
        }
        Ok(())
    }

    fn make_one(&mut self, (exchange, draft): (&mut Exchange, &mut HeaderMap), side: Side, edit: Edit) {
        match (side, &mut exchange.response, edit) {
            (Side::Request, _, Edit::Path(path)) => {
                self.undo.push(Undo::Path(std::mem::replace(&mut exchange.request.path, path)));
            }
            (Side::Request, _, edit) => self.change(&mut exchange.request.headers, side, edit),
            (Side::Response, Some(response), Edit::Status(status)) => {
                self.undo.push(Undo::Status(std::mem::replace(&mut response.status, status)));
            }
            (Side::Response, Some(response), edit) => self.change(&mut response.headers, side, edit),
            // With the hook, the draft ends.
            (Side::Response, None, edit) => edit.make(draft),
        }
    }

    /// Changes a field.
    fn change(&mut self, headers: &mut HeaderMap, side: Side, edit: Edit) {
        let (name, former) = match edit {
            Edit::Set(name, value) => {
                let former = match headers.entry(&name) {
                    // Not `insert_mult`, which panics where there are several values (http 1.5).
                    Entry::Occupied(mut field) => {
                        let others = field.iter().skip(1).cloned().collect();
                        Former { first: Some(field.insert(value)), others }
                    }
                    Entry::Vacant(place) => {
                        place.insert(value);
                        Former::default()
                    }
                };
                (name, former)
            }
            Edit::Remove(name) => match headers.entry(name) {
                Entry::Occupied(field) => {
                    let (name, values) = field.remove_entry_mult();
                    (name, Former::of(values))
                }
                Entry::Vacant(_) => return,
            },
            Edit::Append(name, value) => {
                let former = Former::of(headers.get_all(&name).iter().cloned());
                headers.append(&name, value);
                (name, former)
            }
            Edit::Path(_) | Edit::Status(_) => return,
        };
        self.undo.push(Undo::Field(side, name, former));
    }

    /// Says how long the request's body is now: what frames it on its way is the proxy's to write.
    pub fn set_body_length(&mut self, exchange: &mut Exchange, length: usize) {
        if exchange.request.headers.contains_key(CONTENT_LENGTH) {
            let edit = Edit::Set(CONTENT_LENGTH, HeaderValue::from(length));
            self.change(&mut exchange.request.headers, Side::Request, edit);
        }
    }

    pub fn set_method(&mut self, exchange: &mut Exchange, method: Method) {
        self.undo.push(Undo::Method(std::mem::replace(&mut exchange.request.method, method)));
    }

    pub fn set_endpoint(&mut self, exchange: &mut Exchange, endpoint: SocketAddr) {
        self.undo.push(Undo::Endpoint(exchange.endpoint.replace(endpoint)));
    }

    /// Puts back what was there before.
    pub fn undo(&mut self, exchange: &mut Exchange) {
        for undo in self.undo.drain(..).rev() {
            match (undo, &mut exchange.response) {
                (Undo::Field(Side::Request, name, former), _) => former.put_back(&mut exchange.request.headers, &name),
                (Undo::Field(Side::Response, name, former), Some(response)) => {
                    former.put_back(&mut response.headers, &name);
                }
                (Undo::Path(path), _) => exchange.request.path = path,
                (Undo::Method(method), _) => exchange.request.method = method,
                (Undo::Status(status), Some(response)) => response.status = status,
                (Undo::Endpoint(endpoint), _) => exchange.endpoint = endpoint,
                (Undo::ResponseEdits(mark), _) => exchange.response_edits.rewind(mark),
                (Undo::Field(Side::Response, ..) | Undo::Status(_), None) => {}
            }
        }
    }

    /// Takes back the edits for a response that is not there yet.
    pub fn withdraw(&mut self, exchange: &mut Exchange) {
        let marks = self.undo.iter().map(|undo| if let Undo::ResponseEdits(mark) = undo { Some(*mark) } else { None });
        if let Some(first) = marks.flatten().next() {
            exchange.response_edits.rewind(first);
            self.undo.retain(|undo| !matches!(undo, Undo::ResponseEdits(_)));
        }
    }

    /// Forgets what was there before: for the next hook.
    pub fn clear(&mut self) {
        self.size = 0;
        self.undo.clear();
    }
}

impl Former {
    fn of(mut values: impl Iterator<Item = HeaderValue>) -> Self {
        Self { first: values.next(), others: values.collect() }
    }

    fn put_back(self, headers: &mut HeaderMap, name: &HeaderName) {
        headers.remove(name);
        for value in self.first.into_iter().chain(self.others) {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use witgate_stage::{Client, RequestHead, ResponseHead};

    use super::*;

    const NAMES: [&str; 4] = ["accept", "x-a", "x-b", "set-cookie"];

    fn name(at: usize) -> HeaderName {
        HeaderName::from_static(NAMES[at])
    }

    fn exchange(headers: HeaderMap, response: Option<HeaderMap>) -> Exchange {
        let client =
            Client { address: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 2).into(), tls: false, sni: None };
        let request = RequestHead { method: Method::GET, path: PathAndQuery::from_static("/"), headers };
        let mut exchange = Exchange::new(request, "1".into(), "r".into(), client);
        exchange.response = response.map(|headers| ResponseHead { status: StatusCode::OK, headers });
        exchange
    }

    fn any_headers() -> impl Strategy<Value = HeaderMap> {
        proptest::collection::vec((0..NAMES.len(), "[a-z]{0,4}"), 0..8).prop_map(|fields| {
            let mut headers = HeaderMap::new();
            for (at, value) in fields {
                headers.append(name(at), value.parse().unwrap());
            }
            headers
        })
    }

    /// Groups of edits that are made together.
    fn any_groups(side: Side) -> impl Strategy<Value = Vec<(Edit, Vec<Edit>)>> {
        let edit = (0..5_u8, 0..NAMES.len(), "[a-z]{0,4}").prop_map(move |(kind, at, text)| {
            let value = text.parse().unwrap();
            match kind {
                0 => Edit::set(name(at), value, side),
                1 => Edit::append(name(at), value, side),
                2 if side == Side::Request => Edit::path(&format!("/{text}")),
                2 => Edit::status(404),
                _ => Edit::remove(name(at), side),
            }
            .unwrap()
        });
        proptest::collection::vec((edit.clone(), proptest::collection::vec(edit, 0..3)), 0..6)
    }

    /// Fields by name, each with its values in order.
    fn fields(headers: &HeaderMap) -> Vec<Vec<HeaderValue>> {
        NAMES.map(|name| headers.get_all(name).iter().cloned().collect()).to_vec()
    }

    proptest! {
        #[test]
        fn changes_are_made_in_order_and_undone(headers in any_headers(), groups in any_groups(Side::Request)) {
            let mut exchange = exchange(headers.clone(), None);
            let mut wanted = exchange.request.clone();
            let (mut changes, mut draft) = (Changes::default(), HeaderMap::new());
            for (first, others) in groups {
                wanted.make(first.clone());
                others.iter().for_each(|edit| wanted.make(edit.clone()));
                changes.make((&mut exchange, &mut draft), Side::Request, (first, others)).unwrap();
            }
            prop_assert_eq!(fields(&exchange.request.headers), fields(&wanted.headers));
            prop_assert_eq!(&exchange.request.path, &wanted.path);
            changes.undo(&mut exchange);
            prop_assert_eq!(fields(&exchange.request.headers), fields(&headers));
            prop_assert_eq!(exchange.request.path.as_str(), "/");
        }

        #[test]
        fn a_response_is_changed_and_put_back(headers in any_headers(), groups in any_groups(Side::Response)) {
            let mut exchange = exchange(HeaderMap::new(), Some(headers.clone()));
            let mut wanted = exchange.response.clone().unwrap();
            let (mut changes, mut draft) = (Changes::default(), HeaderMap::new());
            for (first, others) in groups {
                wanted.make(first.clone());
                others.iter().for_each(|edit| wanted.make(edit.clone()));
                changes.make((&mut exchange, &mut draft), Side::Response, (first, others)).unwrap();
            }
            let made = exchange.response.clone().unwrap();
            prop_assert_eq!((fields(&made.headers), made.status), (fields(&wanted.headers), wanted.status));
            changes.undo(&mut exchange);
            let left = exchange.response.take().unwrap();
            prop_assert_eq!((fields(&left.headers), left.status), (fields(&headers), StatusCode::OK));
        }

        /// Both the script's own response and the upstream's get them, unless they are undone.
        #[test]
        fn a_response_to_come_is_changed_when_it_comes(groups in any_groups(Side::Response)) {
            let mut exchange = exchange(HeaderMap::new(), None);
            let (mut changes, mut draft, mut to_come) = (Changes::default(), HeaderMap::new(), HeaderMap::new());
            for group in groups {
                changes.make((&mut exchange, &mut draft), Side::Response, group).unwrap();
            }
            exchange.response_edits.apply_to(&mut to_come);
            prop_assert_eq!(fields(&to_come), fields(&draft));
            let (mut withdrawn, mut own) = (Exchange::new(exchange.request.clone(), "1".into(), "r".into(), exchange.client.clone()), Changes::default());
            withdrawn.response_edits.set("x-of-others", "stays", Side::Response).unwrap();
            let others = withdrawn.response_edits.clone();
            for edit in exchange.response_edits.iter() {
                own.make((&mut withdrawn, &mut HeaderMap::new()), Side::Response, (edit.clone(), Vec::new())).unwrap();
            }
            own.withdraw(&mut withdrawn);
            prop_assert_eq!(&withdrawn.response_edits, &others, "those of other stages stay");
            changes.undo(&mut exchange);
            prop_assert!(exchange.response_edits.is_empty());
        }
    }

    #[test]
    fn changes_that_are_too_large_together_are_not_made_at_all() {
        let mut exchange = exchange(HeaderMap::new(), None);
        let (mut changes, mut draft) = (Changes::default(), HeaderMap::new());
        let large = |side| Edit::append(name(1), HeaderValue::from_bytes(&[b'x'; 16_000]).unwrap(), side).unwrap();
        for side in [Side::Request, Side::Response] {
            let others = vec![large(side); 4];
            let made = changes.make((&mut exchange, &mut draft), side, (large(side), others));
            assert_eq!(made, Err(FieldError::TooLarge));
        }
        assert!(exchange.request.headers.is_empty() && draft.is_empty() && exchange.response_edits.is_empty());
        let made = changes.make((&mut exchange, &mut draft), Side::Request, (large(Side::Request), vec![]));
        assert_eq!(made, Ok(()), "what was refused does not count");
    }
}
