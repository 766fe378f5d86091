//! Models that say what a file says.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use witgate_plugin_host::{ScoreError, ScoreFuture, ScoreTarget, ScoreTensor, Scores};

use super::content::labelled;

/// What a model says to every call: its outputs, one row each, or how the call fails.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) enum Model {
    Says(BTreeMap<String, Vec<f32>>),
    Fails(ScoreError),
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    outputs: Option<BTreeMap<String, Vec<f32>>>,
    fault: Option<ScoreFault>,
}

impl TryFrom<Written> for Model {
    type Error = &'static str;

    fn try_from(Written { outputs, fault }: Written) -> Result<Self, Self::Error> {
        match (outputs, fault) {
            (Some(outputs), None) => Ok(Self::Says(outputs)),
            (None, Some(fault)) => Ok(Self::Fails(fault.0)),
            _ => Err("expected either `outputs = { NAME = [NUMBER, …] }` or `fault = \"timeout\"`"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct ScoreFault(ScoreError);

impl<'de> Deserialize<'de> for ScoreFault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = [ScoreError::Unavailable, ScoreError::Timeout, ScoreError::Invalid];
        // As the contract has them.
        let label = |fault: &ScoreError| match fault {
            ScoreError::Unavailable => "unavailable",
            ScoreError::Timeout => "timeout",
            ScoreError::Invalid => "invalid",
        };
        labelled(deserializer, &all, label).map(Self)
    }
}

/// A model as the plugin reaches it.
#[derive(Debug)]
pub(crate) struct Stub(pub(crate) Model);

impl ScoreTarget for Stub {
    fn identity(&self) -> Vec<u8> {
        // There is one of each name, and one host for each file of cases.
        Vec::new()
    }

    fn score(&self, _: Vec<(String, ScoreTensor)>) -> ScoreFuture {
        let said = match &self.0 {
            Model::Says(outputs) => {
                let outputs = outputs.iter().map(|(name, row)| {
                    let width = u32::try_from(row.len()).unwrap_or(u32::MAX);
                    (name.clone(), ScoreTensor::Floats(vec![1, width], row.clone()))
                });
                Ok(outputs.collect::<Scores>())
            }
            Model::Fails(fault) => Err(*fault),
        };
        Box::pin(std::future::ready(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_says_something_or_fails() {
        let read = |text: &str| toml::from_str::<Model>(text);
        assert!(matches!(read("outputs = { score = [0.9] }"), Ok(Model::Says(_))));
        assert!(matches!(read("fault = \"timeout\""), Ok(Model::Fails(_))));
        for text in
            ["", "fault = \"late\"", "outputs = { score = 1 }", "outputs = {}\nfault = \"timeout\"", "output = {}"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
