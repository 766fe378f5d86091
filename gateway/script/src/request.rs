//! One request as host functions see it, while hooks of its scripts run and between them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::HeaderValue;
use http::{HeaderMap, Method};
use mlua::prelude::*;
use witgate_stage::{Edit, Exchange, FieldError, ResponseHead, Side};

use crate::changes::Changes;
use crate::phase::Moment;
use crate::raw::Answer;
use crate::socket::Guest;

/// Makes the results of an operation for the VM that waits for them.
pub(crate) enum Results {
    Plain(Plain),
    /// Such as have to be made by means of the binding.
    Made(Made),
}

/// Makes results.
pub(crate) type Made = Box<dyn FnOnce(&Lua) -> LuaResult<LuaMultiValue>>;

/// Writes down results.
pub(crate) type Plain = Box<dyn FnOnce(&mut Answer)>;

/// What a blocking call of a script waits for.
pub(crate) struct Operation {
    number: u64,
    /// None: cancelled.
    future: Option<Pin<Box<dyn Future<Output = Results>>>>,
}

impl Future for Operation {
    type Output = (u64, Results);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let results = ready!(future.as_mut().poll(context));
        self.future = None;
        Poll::Ready((self.number, results))
    }
}

/// The response that scripts make, before it is known whether they answer at all.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub status: Option<u16>,
    pub headers: HeaderMap,
    /// The script wants no `Content-Type`.
    pub untyped: bool,
    pub body: Vec<u8>,
    /// The head counts as sent: something has been written.
    pub begun: bool,
    /// Nothing more can be written.
    pub ended: bool,
}

impl Draft {
    /// Becomes that of a request that has not answered.
    pub fn clear(&mut self) {
        let Self { status, headers, untyped, body, begun, ended } = self;
        (*status, *untyped, *begun, *ended) = (None, false, false, false);
        // What a large response took is given back.
        (*headers, *body) = Default::default();
    }
}

/// How a script has answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Answered {
    /// Not at all, or with a response of its own.
    #[default]
    Plainly,
    /// With the gateway's page for this status.
    Page(u16),
    /// With what another route has answered, whose filters are not this script's.
    Elsewhere,
    /// Its body filter has ended the body.
    Cut,
}

pub(crate) struct Request {
    pub number: u64,
    /// None in timers.
    exchange: RefCell<Option<Box<Exchange>>>,
    pub draft: RefCell<Draft>,
    pub moment: Cell<Moment>,
    /// Name of the script that runs, for logs.
    pub script: RefCell<Option<Arc<str>>>,
    pub variables: RefCell<BTreeMap<String, Option<Variable>>>,
    /// Since 1970.
    pub begun: Duration,
    /// What the phase has left of its run time, and the hook of memory.
    pub cpu_left: Cell<Duration>,
    pub memory_left: Cell<usize>,
    operations: RefCell<Operations>,
    operation_numbers: Cell<u64>,
    /// Those of this hook.
    changes: RefCell<Changes>,
    /// What a script has said of the response's `Content-Length`, which is not its to say: none removes it.
    pub said_length: RefCell<Option<Option<HeaderValue>>>,
    /// A script has set the query.
    pub query_set: Cell<bool>,
    /// What a header filter exits with.
    pub exit: Cell<Option<i64>>,
    /// How the script has answered so far.
    pub answered: Cell<Answered>,
    /// The request's body, once a script has read it.
    pub body: RefCell<Option<bytes::Bytes>>,
    /// Closes the sockets of the hook when it ends.
    pub guest: RefCell<Option<Guest>>,
    /// Run time of the hook so far.
    pub took: Cell<Duration>,
    /// Where the VM's table of requests has it.
    pub slot: Slot,
}

/// What a request waits for: nearly always one thing, if anything.
#[derive(Default)]
struct Operations {
    one: Option<Operation>,
    others: Option<FuturesUnordered<Operation>>,
}

/// Small numbers for requests that there are.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    free: RefCell<Vec<u32>>,
    made: Cell<u32>,
}

/// One of them, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Rc<Slots>,
    pub number: u32,
}

impl Slot {
    pub fn of(slots: &Rc<Slots>) -> Self {
        let free = slots.free.borrow_mut().pop();
        let number = free.unwrap_or_else(|| {
            slots.made.set(slots.made.get() + 1);
            slots.made.get()
        });
        Self { slots: Rc::clone(slots), number }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.free.borrow_mut().push(self.number);
    }
}

/// A variable's value: bytes, as Lua strings are.
pub(crate) type Variable = Vec<u8>;

impl Request {
    pub fn new(number: u64, slot: Slot) -> Self {
        Self {
            number,
            exchange: RefCell::new(None),
            draft: RefCell::default(),
            moment: Cell::new(Moment::Nothing),
            script: RefCell::new(None),
            variables: RefCell::default(),
            begun: crate::clock::time_of_day(),
            cpu_left: Cell::new(Duration::ZERO),
            memory_left: Cell::new(0),
            operations: RefCell::default(),
            operation_numbers: Cell::new(0),
            changes: RefCell::default(),
            said_length: RefCell::default(),
            query_set: Cell::new(false),
            exit: Cell::new(None),
            answered: Cell::default(),
            body: RefCell::new(None),
            guest: RefCell::new(None),
            took: Cell::new(Duration::ZERO),
            slot,
        }
    }

    /// Forgets everything but the script, which is often that of the next: another request can be served with this one's
    /// memory.
    pub fn clear(&mut self) {
        *self.exchange.get_mut() = None;
        self.draft.get_mut().clear();
        self.variables.get_mut().clear();
        *self.operations.get_mut() = Operations::default();
        self.changes.get_mut().clear();
        *self.said_length.get_mut() = None;
        self.query_set.set(false);
        self.exit.set(None);
        self.answered.set(Answered::default());
        *self.body.get_mut() = None;
        *self.guest.get_mut() = None;
    }

    /// Begins to be another request, after [`Self::clear`].
    pub fn begin_as(&mut self, number: u64) {
        self.number = number;
        self.begun = crate::clock::time_of_day();
        self.moment.set(Moment::Nothing);
        self.operation_numbers.set(0);
    }

    /// Names the script that runs.
    pub fn belongs_to(&self, script: &Arc<str>) {
        let mut known = self.script.borrow_mut();
        if !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, script)) {
            *known = Some(Arc::clone(script));
        }
    }

    /// Begins a hook.
    pub fn lend(&self, exchange: Box<Exchange>) {
        *self.exchange.borrow_mut() = Some(exchange);
        self.changes.borrow_mut().clear();
        self.took.set(Duration::ZERO);
    }

    /// Ends a hook.
    pub fn take_back(&self) -> Option<Box<Exchange>> {
        self.cancel_all();
        self.exchange.borrow_mut().take()
    }

    /// Says how long the body is that a script has put in the place of the client's.
    ///
    /// # Errors
    /// There is no request.
    pub fn set_body_length(&self, length: usize) -> LuaResult<()> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        self.changes.borrow_mut().set_body_length(exchange, length);
        Ok(())
    }

    /// Takes back what the hook has asked for the response of somebody else: the script answers itself.
    pub fn withdraw(&self) {
        if let Some(exchange) = self.exchange.borrow_mut().as_deref_mut() {
            self.changes.borrow_mut().withdraw(exchange);
        }
    }

    /// Takes what changes have replaced for what was there at first: another response has its place.
    pub fn settle(&self) {
        self.changes.borrow_mut().clear();
    }

    /// Undoes the changes of a hook that failed.
    pub fn undo(&self) {
        let mut exchange = self.exchange.borrow_mut();
        let Some(exchange) = exchange.as_deref_mut() else { return };
        self.changes.borrow_mut().undo(exchange);
    }

    /// # Errors
    /// There is no request: a timer runs.
    pub fn exchange<T>(&self, read: impl FnOnce(&Exchange) -> T) -> LuaResult<T> {
        self.exchange.borrow().as_deref().map(read).ok_or_else(no_request)
    }

    /// Gives the exchange another response, or none, for filters to work on; the one that it had.
    ///
    /// # Errors
    /// There is no request.
    pub fn swap_response(&self, response: Option<ResponseHead>) -> LuaResult<Option<ResponseHead>> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        Ok(std::mem::replace(&mut exchange.response, response))
    }

    /// # Errors
    /// There is no request.
    pub fn set_method(&self, method: Method) -> LuaResult<()> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        self.changes.borrow_mut().set_method(exchange, method);
        Ok(())
    }

    /// Chooses the endpoint that the request is sent to.
    ///
    /// # Errors
    /// There is no request.
    pub fn set_endpoint(&self, endpoint: SocketAddr) -> LuaResult<()> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        self.changes.borrow_mut().set_endpoint(exchange, endpoint);
        Ok(())
    }

    /// Changes the request's head, or the response's, as [`Changes::make`] does.
    ///
    /// # Errors
    /// There is no request. The inner one: the change is not allowed; nothing has changed then.
    pub fn change(&self, side: Side, edits: (Edit, Vec<Edit>)) -> LuaResult<Result<(), FieldError>> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        let draft = &mut self.draft.borrow_mut().headers;
        Ok(self.changes.borrow_mut().make((exchange, draft), side, edits))
    }

    /// Starts what a blocking call waits for; its number is for `core.wait`.
    pub fn begin(&self, future: impl Future<Output = Results> + 'static) -> u64 {
        let number = self.operation_numbers.get() + 1;
        self.operation_numbers.set(number);
        let operation = Operation { number, future: Some(Box::pin(future)) };
        let operations = &mut *self.operations.borrow_mut();
        match &operations.one {
            None => operations.one = Some(operation),
            Some(_) => operations.others.get_or_insert_default().push(operation),
        }
        number
    }

    /// Drops what a call waits for.
    pub fn cancel(&self, number: u64) {
        let operations = &mut *self.operations.borrow_mut();
        // What is dropped may not want the list.
        if operations.one.as_ref().is_some_and(|one| one.number == number) {
            operations.one = None;
            return;
        }
        let found = operations.others.iter_mut().flatten().find(|operation| operation.number == number);
        if let Some(operation) = found {
            operation.future = None;
        }
    }

    /// Drops everything that calls wait for, and all that is open.
    pub fn cancel_all(&self) {
        let operations = std::mem::take(&mut *self.operations.borrow_mut());
        drop(operations);
        let guest = self.guest.borrow_mut().take();
        drop(guest);
    }

    /// The next operation that ends; none: there is none, so nothing will ever end.
    pub fn poll_operation(&self, context: &mut Context<'_>) -> Poll<Option<(u64, Results)>> {
        let Operations { one, others } = &mut *self.operations.borrow_mut();
        if let Some(operation) = one
            && let Poll::Ready(event) = operation.poll_unpin(context)
        {
            *one = None;
            return Poll::Ready(Some(event));
        }
        match others.as_mut().map(|others| others.poll_next_unpin(context)) {
            Some(Poll::Ready(Some(event))) => Poll::Ready(Some(event)),
            Some(Poll::Pending) => Poll::Pending,
            _ if one.is_some() => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }
}

fn no_request() -> LuaError {
    LuaError::runtime("no request found")
}

/// Results of an operation that writes them down.
pub(crate) fn results(write: impl FnOnce(&mut Answer) + 'static) -> Results {
    Results::Plain(Box::new(write))
}
