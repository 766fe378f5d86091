//! Asks a model, as `x-ask` tells it (`MODEL INPUT NUMBER…`), and tells the upstream in `x-said` what it said.

use witgate_sdk::inference::{Tensor, score};
use witgate_sdk::{Action, ConfigError, Edits, Error, OnRequest, Plugin, Request};

#[derive(serde::Deserialize)]
struct Config {}

struct Scorer;

impl Plugin for Scorer {
    const NAME: &'static str = "scorer";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Asks models";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl OnRequest for Scorer {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        let told = request.header_str("x-ask").unwrap_or_default();
        let mut words = told.split(' ');
        let (model, input) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let numbers: Vec<f32> = words.filter_map(|word| word.parse().ok()).collect();
        let said = match score(model, &[(input.to_owned(), Tensor::row(numbers))]) {
            Ok(outputs) => {
                let outputs = outputs.iter().map(|(name, tensor)| match tensor {
                    Tensor::Floats((shape, values)) => format!("{name} {shape:?} {values:?}"),
                    Tensor::Integers((shape, values)) => format!("{name} {shape:?} {values:?}"),
                    Tensor::Strings((shape, values)) => format!("{name} {shape:?} {values:?}"),
                });
                outputs.collect::<Vec<_>>().join("; ")
            }
            Err(error) => error.name().to_owned(),
        };
        request.apply(Edits::new().set("x-said", said))?;
        Ok(Action::Continue)
    }
}

witgate_sdk::export!(Scorer: request);
