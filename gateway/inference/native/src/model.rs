//! A model as its file has it.

use std::collections::BTreeMap;

use witgate_trees::{CodeStore, CompileError, CompileOptions, Ensemble, Model};

use crate::compiled::{CompiledNative, Engine};
use crate::error::CompileNativeError;
use crate::linear::LinearModel;
use crate::link::Link;
use crate::prepare::Prepare;
use crate::{Format, Library};

/// What a model file says, checked and ready to be compiled.
#[derive(Debug, Clone)]
pub struct NativeModel {
    pub(crate) format: Format,
    pub(crate) version: Option<String>,
    pub(crate) features: Vec<Feature>,
    pub(crate) outputs: Outputs,
    pub(crate) objective: String,
    pub(crate) rounds: Rounds,
    pub(crate) body: Body,
    pub(crate) finish: Finish,
    pub(crate) prepare: Option<Prepare>,
}

/// What computes the margins.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Trees(Ensemble),
    Linear(LinearModel),
}

/// What is done with the sums of the trees, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finish {
    /// CatBoost's margins are `scale * x + bias`.
    pub(crate) scale: f64,
    /// Empty, or one for each output.
    pub(crate) bias: Vec<f64>,
    /// LightGBM's random forests: margins are divided by the number of rounds.
    pub(crate) divisor: Option<f64>,
    pub(crate) link: Link,
}

impl Finish {
    pub(crate) fn of(link: Link) -> Self {
        Self { divisor: None, scale: 1.0, bias: vec![], link }
    }
}

/// What a column of a row is.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// As the model was trained with. `None`: the file has no names.
    pub name: Option<String>,
    pub kind: FeatureKind,
}

/// What the numbers of a column mean.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureKind {
    /// A number. NaN stands for a missing value.
    Number,
    /// A category that is a number from 0 by itself. NaN stands for a missing value.
    Code,
    /// A category that is a text or a whole number, of which the column holds what [`NativeModel::code`] makes of it.
    Category(Categories),
}

/// How categories become the numbers of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Categories {
    /// The place of a text in a list that was made in training. What is not in it is missing.
    Texts(BTreeMap<String, u32>),
    /// The same for whole numbers.
    Integers(BTreeMap<i64, u32>),
    /// CatBoost: a hash of 32 bits of the text, or of the decimal digits of the number. All there are have one.
    Hashes,
}

/// A category, before it is a number of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category<'a> {
    Text(&'a str),
    Integer(i64),
}

/// What a model computes for a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    pub meaning: Meaning,
    /// What the columns are called: classes as they were in training if the file knows them; or nothing.
    pub labels: Option<Vec<String>>,
    /// How many columns there are: 1 but for several classes, targets or quantiles.
    pub count: usize,
}

/// What the scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The probability of the positive class, in one column: the second column of the library's `predict_proba`.
    Probability,
    /// The probabilities of the classes, in a column each; they add up to 1.
    Classes,
    /// Probabilities in a column each that do not depend on one another.
    Labels,
    /// A predicted quantity: what the library's `predict` gives.
    Value,
    /// A number that only orders rows: of ranking, or the margin of an objective that has no transformation.
    Margin,
}

/// How often was boosted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// That are computed.
    pub used: usize,
    /// That the file has. More than are used if training went on beyond the best one (XGBoost's `best_iteration`).
    pub stored: usize,
}

impl NativeModel {
    pub fn format(&self) -> Format {
        self.format
    }

    pub fn library(&self) -> Library {
        self.format.library()
    }

    /// Of the library or, for LightGBM, of the format (`v4`), as far as the file says it.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What each column of a row is, in order. Rows may have more columns, which are not looked at.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// What it was trained for, in the library's words; empty if the file does not say it.
    pub fn objective(&self) -> &str {
        &self.objective
    }

    pub fn rounds(&self) -> Rounds {
        self.rounds
    }

    /// How many trees are run; 0 for linear models.
    pub fn trees(&self) -> usize {
        match &self.body {
            Body::Trees(ensemble) => ensemble.parts().trees.len(),
            Body::Linear(_) => 0,
        }
    }

    /// The number that stands for a category in a column. NaN, which is missing, if the model does not know it; XGBoost itself
    /// refuses such rows, and LightGBM takes them for missing ones, too. `None`: the column does not exist or takes numbers.
    pub fn code(&self, feature: usize, category: Category<'_>) -> Option<f64> {
        let FeatureKind::Category(categories) = &self.features.get(feature)?.kind else { return None };
        let code = match (categories, category) {
            (Categories::Texts(texts), Category::Text(text)) => texts.get(text).copied(),
            (Categories::Integers(integers), Category::Integer(integer)) => integers.get(&integer).copied(),
            (Categories::Hashes, Category::Text(text)) => Some(crate::catboost::hash(text.as_bytes())),
            (Categories::Hashes, Category::Integer(integer)) => Some(crate::catboost::hash_integer(integer)),
            (Categories::Texts(_), Category::Integer(_)) | (Categories::Integers(_), Category::Text(_)) => None,
        };
        Some(code.map_or(f64::NAN, f64::from))
    }

    /// Compiles it. Takes time and memory in proportion to its size, and what is measured on top.
    ///
    /// # Errors
    /// It exceeds a limit for what is made of it. Also if `rows` promises numbers of double to a model that rounds all to
    /// float (XGBoost, CatBoost).
    pub fn compile(&self, options: &CompileOptions) -> Result<CompiledNative, CompileNativeError> {
        self.made(options, &Model::compile)
    }

    /// As [`compile`](Self::compile), by what is kept of an earlier run if there is something; else keeps what is made.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_kept(
        &self,
        options: &CompileOptions,
        store: &dyn CodeStore,
    ) -> Result<CompiledNative, CompileNativeError> {
        self.made(options, &|ensemble, options| Model::compile_kept(ensemble, options, store))
    }

    fn made(
        &self,
        options: &CompileOptions,
        compile: &dyn Fn(&Ensemble, &CompileOptions) -> Result<Model, CompileError>,
    ) -> Result<CompiledNative, CompileNativeError> {
        let engine = match &self.body {
            Body::Trees(ensemble) if self.prepare.is_some() => {
                // What it is run on then is made here, in double.
                let options = CompileOptions { rows: None, ..options.clone() };
                Engine::Trees(Box::new(compile(ensemble, &options)?))
            }
            Body::Trees(ensemble) => Engine::Trees(Box::new(compile(ensemble, options)?)),
            Body::Linear(linear) => Engine::Linear(linear.clone()),
        };
        Ok(CompiledNative {
            engine,
            finish: self.finish.clone(),
            prepare: self.prepare.clone(),
            features: self.features.len(),
            outputs: self.outputs.count,
        })
    }
}
