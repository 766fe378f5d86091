//! One request as host functions see it, while hooks of its scripts run and between them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderMap, StatusCode};
use mlua::prelude::*;
use witgate_stage::{Edits, Exchange, FieldError, RequestHead, Side};

/// Makes the results of an operation in the VM that waits for them.
pub(crate) type Results = Box<dyn FnOnce(&Lua) -> LuaResult<LuaMultiValue>>;

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
    pub body: Vec<u8>,
    /// The head counts as sent: something has been written.
    pub begun: bool,
    /// Nothing more can be written.
    pub ended: bool,
}

/// What to restore if a hook fails and its failure is no failure of the request.
struct Before {
    head: RequestHead,
    response: Option<(StatusCode, HeaderMap)>,
}

pub(crate) struct Request {
    pub number: u64,
    /// None in timers.
    exchange: RefCell<Option<Box<Exchange>>>,
    pub draft: RefCell<Draft>,
    pub phase: Cell<&'static str>,
    /// Name of the script that runs, for logs.
    pub script: RefCell<Arc<str>>,
    pub variables: RefCell<BTreeMap<String, LuaRegistryValue>>,
    pub begun: SystemTime,
    /// What the phase has left of its run time, and the hook of memory.
    pub cpu_left: Cell<Duration>,
    pub memory_left: Cell<usize>,
    operations: RefCell<FuturesUnordered<Operation>>,
    operation_numbers: Cell<u64>,
    /// Changes of this hook, which count against what a hook may change.
    edits: RefCell<Edits>,
    before: RefCell<Option<Before>>,
    /// The request's body, once a script has read it.
    pub body: RefCell<Option<bytes::Bytes>>,
    /// Subrequests that this request is within.
    pub depth: Cell<u32>,
}

/// A variable's value: bytes, as Lua strings are.
pub(crate) type LuaRegistryValue = Vec<u8>;

impl Request {
    pub fn new(number: u64) -> Self {
        Self {
            number,
            exchange: RefCell::new(None),
            draft: RefCell::default(),
            phase: Cell::new(""),
            script: RefCell::new(Arc::from("")),
            variables: RefCell::default(),
            begun: SystemTime::now(),
            cpu_left: Cell::new(Duration::ZERO),
            memory_left: Cell::new(0),
            operations: RefCell::default(),
            operation_numbers: Cell::new(0),
            edits: RefCell::default(),
            before: RefCell::new(None),
            body: RefCell::new(None),
            depth: Cell::new(0),
        }
    }

    /// Begins a hook.
    pub fn lend(&self, exchange: Box<Exchange>) {
        *self.exchange.borrow_mut() = Some(exchange);
        *self.edits.borrow_mut() = Edits::default();
        *self.before.borrow_mut() = None;
    }

    /// Ends a hook.
    pub fn take_back(&self) -> Option<Box<Exchange>> {
        self.operations.borrow_mut().clear();
        self.exchange.borrow_mut().take()
    }

    /// Undoes the changes of a hook that failed.
    pub fn undo(&self) {
        let Some(before) = self.before.borrow_mut().take() else { return };
        if let Some(exchange) = &mut *self.exchange.borrow_mut() {
            exchange.request = before.head;
            if let (Some(response), Some((status, headers))) = (&mut exchange.response, before.response) {
                (response.status, response.headers) = (status, headers);
            }
        }
    }

    /// # Errors
    /// There is no request: a timer runs.
    pub fn exchange<T>(&self, read: impl FnOnce(&Exchange) -> T) -> LuaResult<T> {
        self.exchange.borrow().as_deref().map(read).ok_or_else(no_request)
    }

    /// As [`Self::exchange`], to change what a failure of the hook undoes.
    ///
    /// # Errors
    /// There is no request.
    pub fn change<T>(&self, change: impl FnOnce(&mut Exchange) -> T) -> LuaResult<T> {
        let mut exchange = self.exchange.borrow_mut();
        let exchange = exchange.as_deref_mut().ok_or_else(no_request)?;
        self.before.borrow_mut().get_or_insert_with(|| Before {
            head: exchange.request.clone(),
            response: exchange.response.as_ref().map(|response| (response.status, response.headers.clone())),
        });
        Ok(change(exchange))
    }

    /// Changes fields of the request's head, or of the response's, within what a stage may change.
    ///
    /// # Errors
    /// There is no request. The inner one: the change is not allowed; nothing has changed then.
    pub fn edit(
        &self,
        side: Side,
        edit: impl Fn(&mut Edits) -> Result<(), FieldError>,
    ) -> LuaResult<Result<(), FieldError>> {
        let mut one = Edits::default();
        if let Err(error) = edit(&mut self.edits.borrow_mut()).and_then(|()| edit(&mut one)) {
            return Ok(Err(error));
        }
        self.change(|exchange| match (side, &mut exchange.response) {
            (Side::Request, _) => exchange.request.apply(one),
            (Side::Response, Some(response)) => response.apply(one),
            (Side::Response, None) => {
                one.apply_to(&mut self.draft.borrow_mut().headers);
            }
        })?;
        Ok(Ok(()))
    }

    /// Starts what a blocking call waits for; its number is for `core.wait`.
    pub fn begin(&self, future: impl Future<Output = Results> + 'static) -> u64 {
        let number = self.operation_numbers.get() + 1;
        self.operation_numbers.set(number);
        self.operations.borrow().push(Operation { number, future: Some(Box::pin(future)) });
        number
    }

    /// Drops what a call waits for.
    pub fn cancel(&self, number: u64) {
        let mut operations = self.operations.borrow_mut();
        let found = operations.iter_mut().find(|operation| operation.number == number);
        if let Some(operation) = found {
            operation.future = None;
        }
    }

    /// Drops everything that calls wait for.
    pub fn cancel_all(&self) {
        self.operations.borrow_mut().clear();
    }

    /// The next operation that ends; none: there is none, so nothing will ever end.
    pub fn poll_operation(&self, context: &mut Context<'_>) -> Poll<Option<(u64, Results)>> {
        self.operations.borrow_mut().poll_next_unpin(context)
    }
}

fn no_request() -> LuaError {
    LuaError::runtime("no request found")
}

/// Results of an operation that are plain values.
pub(crate) fn results<T: IntoLuaMulti + 'static>(values: T) -> Results {
    Box::new(move |lua| values.into_lua_multi(lua))
}

pub(crate) type Shared = Rc<Request>;
