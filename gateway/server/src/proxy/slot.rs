//! Where a request's exchange is.

use std::sync::Arc;

use witgate_stage::{Exchange, Home};

use crate::proxy::failure::Failure;

/// The place of an exchange: it is here, or a stage has it.
///
/// A stage gives it back when its hook ends. One that is cut off before drops it, and then it comes [`Home`], where
/// [`Slot::recover`] finds it: so nothing of a request is lost with a stage.
pub struct Slot {
    here: Option<Box<Exchange>>,
    /// Made when it is first lent.
    home: Option<Arc<Home>>,
}

impl Slot {
    pub fn new(exchange: Box<Exchange>) -> Self {
        Self { here: Some(exchange), home: None }
    }

    pub fn is_here(&self) -> bool {
        self.here.is_some()
    }

    /// The exchange, if no stage has it.
    pub fn get(&self) -> Option<&Exchange> {
        self.here.as_deref()
    }

    /// The exchange, between hooks.
    ///
    /// # Errors
    /// [`Failure::Broken`] while a stage has it: a mistake of the gateway.
    pub fn here(&mut self) -> Result<&mut Exchange, Failure> {
        self.here.as_deref_mut().ok_or(Failure::Broken("the exchange is with a stage"))
    }

    /// Lends it to a stage.
    ///
    /// # Errors
    /// [`Failure::Broken`] if a stage has it already: a mistake of the gateway.
    pub fn lend(&mut self) -> Result<Box<Exchange>, Failure> {
        let mut exchange = self.here.take().ok_or(Failure::Broken("two stages want the exchange at once"))?;
        if exchange.home.is_none() {
            exchange.home = Some(Arc::clone(self.home.get_or_insert_default()));
        }
        Ok(exchange)
    }

    /// Takes it back from a stage whose hook has ended.
    pub fn put(&mut self, exchange: Box<Exchange>) {
        self.here = Some(exchange);
    }

    /// Takes it back from a stage that was cut off. The index of that stage's step, if there was one.
    pub fn recover(&mut self) -> Option<usize> {
        if self.is_here() {
            return None;
        }
        self.here = self.home.as_ref()?.take();
        self.here.as_ref().map(|exchange| exchange.step)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.here {
            // The request has ended: nobody looks for it there.
            exchange.home = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use http::{HeaderMap, Method};
    use witgate_stage::{Client, RequestHead};

    use super::*;

    fn slot() -> Slot {
        let nowhere = ([127, 0, 0, 1], 1).into();
        let client = Client { address: nowhere, local: nowhere, tls: false, sni: None };
        let path = PathAndQuery::from_static("/");
        let request = RequestHead { method: Method::GET, path, headers: HeaderMap::new() };
        Slot::new(Box::new(Exchange::new(request, "id".into(), "route".into(), client)))
    }

    #[test]
    fn an_exchange_is_with_one_stage_at_a_time() {
        let mut slot = slot();
        let lent = slot.lend().unwrap();
        assert!(matches!(slot.lend(), Err(Failure::Broken(_))) && matches!(slot.here(), Err(Failure::Broken(_))));
        assert_eq!((slot.is_here(), slot.recover()), (false, None), "whoever has it still has it");
        slot.put(lent);
        assert!(slot.here().is_ok());
    }

    #[test]
    fn an_exchange_is_recovered_from_a_stage_that_was_cut_off_time_and_again() {
        let mut slot = slot();
        for step in [2, 5] {
            let mut lent = slot.lend().unwrap();
            lent.step = step;
            drop(lent);
            assert_eq!(slot.recover(), Some(step));
            assert_eq!(slot.recover(), None, "it is here");
            assert_eq!(&*slot.here().unwrap().id, "id");
        }
    }
}
