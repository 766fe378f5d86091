//! `http`: the heads that a guest borrows, with read-your-writes on the changes it asks for.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::LazyLock;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;
use witgate_stage::{Edit, Edits, Exchange, ResponseHead, Side};

use super::{HostCall, HostState, Phase, Weight, outside_hook};
use crate::bindings::witgate::plugin::http::{Field, FieldError, FieldOp, Host, HostRequest, HostResponseHead, Peer};

/// The request of the hook that runs. There is one at a time, so a handle carries nothing.
pub enum RequestHandle {}
/// The response of the hook that runs.
pub enum ResponseHandle {}

/// Most names of one `get-many`: a head cannot have many more fields, and host calls do not give way to other tasks.
const NAMES_LIMIT: usize = 1024;
/// What handles are made of.
pub(crate) const HANDLE: u32 = 0;

type Outcome<T> = wasmtime::Result<T>;
type Change = wasmtime::Result<Result<(), FieldError>>;

/// A head as the guest sees it: what the proxy lent, and the changes asked for so far.
struct View<'a> {
    base: &'a HeaderMap,
    edits: &'a Edits,
}

impl View<'_> {
    fn first(&self, name: &str) -> Option<Vec<u8>> {
        let value = if self.edits.is_empty() {
            self.base.get(name)
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            return self.edits.values(self.base, &name).next().map(bytes);
        };
        value.map(bytes)
    }

    fn many(&self, names: &[String]) -> Outcome<Vec<Option<Vec<u8>>>> {
        if names.len() > NAMES_LIMIT {
            return Err(wasmtime::Error::msg(format!("get-many of {} names, at most {NAMES_LIMIT}", names.len())));
        }
        Ok(names.iter().map(|name| self.first(name)).collect())
    }

    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        if self.edits.is_empty() {
            return self.base.get_all(name).into_iter().map(bytes).collect();
        }
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Vec::new() };
        self.edits.values(self.base, &name).map(bytes).collect()
    }

    fn entries(&self) -> Vec<Field> {
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| Field { name: name.as_str().into(), value: bytes(value) };
        if self.edits.is_empty() {
            return self.base.iter().map(field).collect();
        }
        let mut edited = self.base.clone();
        self.edits.apply_to(&mut edited);
        edited.iter().map(field).collect()
    }
}

fn bytes(value: &HeaderValue) -> Vec<u8> {
    value.as_bytes().to_vec()
}

/// Longest text of an address: IPv6 with an IPv4 part.
const ADDRESS_LENGTH: usize = 45;

fn text(address: IpAddr) -> String {
    let mut text = String::with_capacity(ADDRESS_LENGTH);
    // A string takes whatever is written.
    let _ = write!(text, "{address}");
    text
}

/// An unchanged head.
static NO_EDITS: LazyLock<Edits> = LazyLock::new(Edits::default);
/// A head that is yet to come.
static NO_FIELDS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

impl HostState {
    /// In a response hook the request is as it was sent, and the changes concern the response.
    fn request_view(&self) -> Outcome<View<'_>> {
        let base = &self.exchange()?.request.headers;
        let edits = if self.call.phase == Phase::Request { &self.call.edits } else { &NO_EDITS };
        Ok(View { base, edits })
    }

    fn response(&self) -> Outcome<&ResponseHead> {
        self.exchange()?.response.as_ref().ok_or_else(outside_hook)
    }

    fn response_view(&self) -> Outcome<View<'_>> {
        Ok(View { base: &self.response()?.headers, edits: &self.call.edits })
    }

    fn edit(&mut self, side: Side, change: impl FnOnce(&mut Edits) -> Result<(), witgate_stage::FieldError>) -> Change {
        let writable = match self.call.phase {
            Phase::Setup => return Err(outside_hook()),
            Phase::Request => Side::Request,
            Phase::Response => Side::Response,
        };
        if side != writable || self.exchange()?.heads_sent {
            return Ok(Err(FieldError::ReadOnly));
        }
        Ok(change(&mut self.call.edits).map_err(Into::into))
    }

    fn apply_all(&mut self, side: Side, ops: Vec<FieldOp>) -> Change {
        self.edit(side, |edits| all_or_none(edits, side, ops))
    }
}

fn all_or_none(edits: &mut Edits, side: Side, ops: Vec<FieldOp>) -> Result<(), witgate_stage::FieldError> {
    let mark = edits.mark();
    let made = ops.into_iter().try_for_each(|op| match op {
        FieldOp::Set(field) => edits.set(&field.name, field.value, side),
        FieldOp::Append(field) => edits.append(&field.name, field.value, side),
        FieldOp::Remove(name) => edits.remove(&name, side),
    });
    if made.is_err() {
        edits.rewind(mark);
    }
    made
}

impl From<witgate_stage::FieldError> for FieldError {
    fn from(error: witgate_stage::FieldError) -> Self {
        match error {
            witgate_stage::FieldError::InvalidName => Self::InvalidName,
            witgate_stage::FieldError::InvalidValue => Self::InvalidValue,
            witgate_stage::FieldError::Forbidden => Self::Forbidden,
            witgate_stage::FieldError::TooLarge => Self::TooLarge,
            witgate_stage::FieldError::ReadOnly => Self::ReadOnly,
        }
    }
}

impl Host for HostCall<'_> {}

impl HostRequest for HostCall<'_> {
    fn id(&mut self, _: Resource<RequestHandle>) -> Outcome<String> {
        let id = self.exchange()?.id.as_ref().to_owned();
        Ok(self.give(id))
    }

    fn method(&mut self, _: Resource<RequestHandle>) -> Outcome<String> {
        let method = self.exchange()?.request.method.as_str().to_owned();
        Ok(self.give(method))
    }

    fn path_with_query(&mut self, _: Resource<RequestHandle>) -> Outcome<String> {
        let edited = self.call.edits.iter().filter_map(|edit| match edit {
            Edit::Path(path) => Some(path),
            _ => None,
        });
        let path = edited.last().unwrap_or(&self.exchange()?.request.path);
        let path = path.as_str().to_owned();
        Ok(self.give(path))
    }

    fn authority(&mut self, _: Resource<RequestHandle>) -> Outcome<Option<String>> {
        let Exchange { authority, request, .. } = self.exchange()?;
        let host = || request.headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        let authority = authority.as_deref().or_else(host).map(str::to_owned);
        Ok(self.give(authority))
    }

    fn scheme(&mut self, _: Resource<RequestHandle>) -> Outcome<String> {
        Ok(if self.exchange()?.client.tls { "https" } else { "http" }.to_owned())
    }

    fn route(&mut self, _: Resource<RequestHandle>) -> Outcome<String> {
        let route = self.exchange()?.route.as_ref().to_owned();
        Ok(self.give(route))
    }

    fn client(&mut self, _: Resource<RequestHandle>) -> Outcome<Peer> {
        let client = &self.exchange()?.client;
        Ok(Peer {
            // A listener of both families sees IPv4 clients as mapped addresses; one client is one address here.
            address: text(client.address.ip().to_canonical()),
            port: client.address.port(),
            tls: client.tls,
            sni: client.sni.as_deref().map(str::to_owned),
        })
    }

    fn get(&mut self, _: Resource<RequestHandle>, name: String) -> Outcome<Option<Vec<u8>>> {
        self.passed(name.len());
        let value = self.request_view()?.first(&name);
        Ok(self.give(value))
    }

    fn get_all(&mut self, _: Resource<RequestHandle>, name: String) -> Outcome<Vec<Vec<u8>>> {
        self.passed(name.len());
        let values = self.request_view()?.all(&name);
        Ok(self.give(values))
    }

    fn get_many(&mut self, _: Resource<RequestHandle>, names: Vec<String>) -> Outcome<Vec<Option<Vec<u8>>>> {
        self.passed(names.weight());
        let values = self.request_view()?.many(&names)?;
        Ok(self.give(values))
    }

    fn entries(&mut self, _: Resource<RequestHandle>) -> Outcome<Vec<Field>> {
        let entries = self.request_view()?.entries();
        Ok(self.give(entries))
    }

    fn set(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Change {
        self.passed(name.len() + value.len());
        self.edit(Side::Request, |edits| edits.set(&name, value, Side::Request))
    }

    fn remove(&mut self, _: Resource<RequestHandle>, name: String) -> Change {
        self.passed(name.len());
        self.edit(Side::Request, |edits| edits.remove(&name, Side::Request))
    }

    fn apply(&mut self, _: Resource<RequestHandle>, ops: Vec<FieldOp>) -> Change {
        self.passed(ops.weight());
        self.apply_all(Side::Request, ops)
    }

    fn set_path_with_query(&mut self, _: Resource<RequestHandle>, path_with_query: String) -> Change {
        self.passed(path_with_query.len());
        self.edit(Side::Request, |edits| edits.set_path(&path_with_query))
    }

    fn apply_to_response(&mut self, _: Resource<RequestHandle>, ops: Vec<FieldOp>) -> Change {
        self.passed(ops.weight());
        let call = &mut self.call;
        let exchange = call.exchange.as_deref_mut().ok_or_else(outside_hook)?;
        if call.phase != Phase::Request || exchange.heads_sent {
            return Ok(Err(FieldError::ReadOnly));
        }
        let edits = &mut exchange.response_edits;
        call.response_mark.get_or_insert_with(|| edits.mark());
        Ok(all_or_none(edits, Side::Response, ops).map_err(Into::into))
    }

    fn response_field(&mut self, _: Resource<RequestHandle>, name: String) -> Outcome<Option<Vec<u8>>> {
        self.passed(name.len());
        let exchange = self.exchange()?;
        if self.call.phase != Phase::Request || exchange.response_edits.is_empty() {
            return Ok(None);
        }
        let value = View { base: &NO_FIELDS, edits: &exchange.response_edits }.first(&name);
        Ok(self.give(value))
    }

    fn attr(&mut self, _: Resource<RequestHandle>, key: String) -> Outcome<Option<Vec<u8>>> {
        self.passed(key.len());
        let value = self.exchange()?.attributes.get(&key).map(<[u8]>::to_vec);
        Ok(self.give(value))
    }

    fn set_attr(&mut self, _: Resource<RequestHandle>, key: String, value: Vec<u8>) -> Change {
        self.passed(key.len() + value.len());
        let call = &mut self.call;
        let attributes = &mut call.exchange.as_deref_mut().ok_or_else(outside_hook)?.attributes;
        call.attributes_before.get_or_insert_with(|| attributes.clone());
        Ok(attributes.set(&key, value).map_err(Into::into))
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> Outcome<()> {
        Ok(())
    }
}

impl HostResponseHead for HostCall<'_> {
    fn status(&mut self, _: Resource<ResponseHandle>) -> Outcome<u16> {
        let edited = self.call.edits.iter().filter_map(|edit| match edit {
            Edit::Status(status) => Some(*status),
            _ => None,
        });
        Ok(edited.last().unwrap_or(self.response()?.status).as_u16())
    }

    fn set_status(&mut self, _: Resource<ResponseHandle>, status: u16) -> Change {
        self.edit(Side::Response, |edits| edits.set_status(status))
    }

    fn get(&mut self, _: Resource<ResponseHandle>, name: String) -> Outcome<Option<Vec<u8>>> {
        self.passed(name.len());
        let value = self.response_view()?.first(&name);
        Ok(self.give(value))
    }

    fn get_many(&mut self, _: Resource<ResponseHandle>, names: Vec<String>) -> Outcome<Vec<Option<Vec<u8>>>> {
        self.passed(names.weight());
        let values = self.response_view()?.many(&names)?;
        Ok(self.give(values))
    }

    fn entries(&mut self, _: Resource<ResponseHandle>) -> Outcome<Vec<Field>> {
        let entries = self.response_view()?.entries();
        Ok(self.give(entries))
    }

    fn set(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Change {
        self.passed(name.len() + value.len());
        self.edit(Side::Response, |edits| edits.set(&name, value, Side::Response))
    }

    fn remove(&mut self, _: Resource<ResponseHandle>, name: String) -> Change {
        self.passed(name.len());
        self.edit(Side::Response, |edits| edits.remove(&name, Side::Response))
    }

    fn apply(&mut self, _: Resource<ResponseHandle>, ops: Vec<FieldOp>) -> Change {
        self.passed(ops.weight());
        self.apply_all(Side::Response, ops)
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> Outcome<()> {
        Ok(())
    }
}
