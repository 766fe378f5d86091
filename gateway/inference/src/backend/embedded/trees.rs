//! Ensembles of decision trees, compiled when a model is loaded.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use smallvec::smallvec;
use witgate_code_cache::CodeCache;
use witgate_operators::attribute::Reader;
use witgate_operators::{
    Budget, BuildError, Data, External, Inputs, Kernel, OperatorError, Outputs, Setup, Shape, Tensor, Value,
};
use witgate_trees::onnx::{
    Classifier, ClassifierAttributes, Floats, Input, InputRows, Labels, NodeAttributes, RegressorAttributes,
    TreeEnsembleAttributes, VoteAttributes,
};
use witgate_trees::{
    CompileLimits, CompileOptions, Element, Ensemble, EnsembleError, Limits, Model, Precision, PredictError, Score,
};

use super::super::kept;
use crate::{DataType, Signature};

const DOMAIN: &str = "ai.onnx.ml";

/// Makes the operators of trees.
#[derive(Debug)]
pub(super) struct Trees {
    /// Type of the rows that most likely go into them.
    rows: Input,
    /// When compiling has to have ended.
    until: Instant,
    code: Option<Arc<CodeCache>>,
}

impl Trees {
    /// For a model that takes what a signature says. `code`: where compiled trees are kept.
    pub fn new(signature: &Signature, until: Instant, code: Option<Arc<CodeCache>>) -> Self {
        let is_double = signature.inputs.iter().any(|info| info.data_type == DataType::Float64);
        Self { rows: if is_double { Input::F64 } else { Input::F32 }, until, code }
    }
}

impl External for Trees {
    fn build(&self, setup: &Setup<'_>) -> Option<Result<Box<dyn Kernel>, BuildError>> {
        // Newer versions may mean something else.
        if setup.domain() != DOMAIN || !(1..=5).contains(&setup.opset()) {
            return None;
        }
        let definition = match setup.op_type() {
            "TreeEnsembleClassifier" => classifier(setup).map(Definition::Classifier),
            "TreeEnsembleRegressor" => regressor(setup.attributes()).map(Definition::Regressor),
            "TreeEnsemble" if setup.opset() == 5 => ensemble(setup.attributes()).map(Definition::Ensemble),
            _ => return None,
        };
        Some(definition.and_then(|definition| self.kernel(definition)))
    }
}

impl Trees {
    fn kernel(&self, definition: Definition) -> Result<Box<dyn Kernel>, BuildError> {
        let kernel = TreeKernel { definition, code: self.code.clone(), compiled: Default::default() };
        // Trees that make no ensemble are refused now, and no request waits for a compiler.
        let left = self.until.saturating_duration_since(Instant::now());
        let compiled = kernel.compile(self.rows, left).map_err(BuildError::Unsupported)?;
        if let Some(place) = kernel.compiled.get(self.rows as usize) {
            let _ = place.set(Ok(compiled));
        }
        Ok(Box::new(kernel))
    }
}

/// What the node says, as far as it goes without the type of its input.
#[derive(Debug)]
enum Definition {
    Classifier(Box<ClassifierAttributes>),
    Regressor(Box<RegressorAttributes>),
    Ensemble(Box<TreeEnsembleAttributes>),
}

#[derive(Debug)]
struct TreeKernel {
    definition: Definition,
    code: Option<Arc<CodeCache>>,
    /// By the type of rows: thresholds, weights and sums are of types that follow from it.
    compiled: [OnceLock<Result<Compiled, String>>; 4],
}

#[derive(Debug)]
enum Compiled {
    Classifier(Box<Classifier>, Model),
    Scores(Box<Ensemble>, Model),
}

impl TreeKernel {
    /// Compiles for rows of a type, within a time.
    fn compile(&self, input: Input, within: Duration) -> Result<Compiled, String> {
        let rows = InputRows { input, features: None };
        let limits = Limits::default();
        let bounds = CompileLimits::default();
        let options = CompileOptions {
            rows: if input == Input::F32 { Some(Precision::F32) } else { None },
            limits: CompileLimits { time: bounds.time.min(within), ..bounds },
            ..CompileOptions::default()
        };
        let compile = |ensemble: &Ensemble| {
            kept::compile(ensemble, &options, self.code.as_deref()).map_err(|error| error.to_string())
        };
        let scores = |ensemble: Result<Ensemble, EnsembleError>| {
            let ensemble = ensemble.map_err(|error| error.to_string())?;
            let model = compile(&ensemble)?;
            Ok(Compiled::Scores(Box::new(ensemble), model))
        };
        match &self.definition {
            Definition::Classifier(attributes) => {
                let classifier = attributes.classifier(rows, &limits).map_err(|error| error.to_string())?;
                let model = compile(classifier.ensemble())?;
                Ok(Compiled::Classifier(Box::new(classifier), model))
            }
            Definition::Regressor(attributes) => scores(attributes.ensemble(rows, &limits)),
            Definition::Ensemble(attributes) => scores(attributes.ensemble(rows, &limits)),
        }
    }
}

impl Kernel for TreeKernel {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = inputs.tensor(0)?;
        let (count, width) = match *rows.shape().dimensions() {
            [width] => (1, width),
            [count, width] => (count, width),
            _ => {
                return Err(OperatorError::Shape(format!(
                    "expected rows of numbers, got a tensor of {}",
                    rows.shape()
                )));
            }
        };
        match rows.data() {
            Data::Float32(elements) => self.run_on(elements, (count, width), budget),
            Data::Float64(elements) => self.run_on(elements, (count, width), budget),
            Data::Int32(elements) => self.run_on(elements, (count, width), budget),
            Data::Int64(elements) => self.run_on(elements, (count, width), budget),
            _ => Err(OperatorError::input(0, "FP32, FP64, INT32 or INT64", inputs.value(0))),
        }
    }
}

impl TreeKernel {
    fn run_on<X: Element>(
        &self,
        rows: &[X],
        (count, width): (usize, usize),
        budget: &mut Budget,
    ) -> Result<Outputs, OperatorError> {
        let place = self.compiled.get(X::INPUT as usize);
        let compiled = place.map(|place| place.get_or_init(|| self.compile(X::INPUT, Duration::MAX)));
        let compiled = match compiled {
            Some(Ok(compiled)) => compiled,
            Some(Err(problem)) => return Err(OperatorError::Element(problem.clone())),
            None => return Err(OperatorError::Element("there are no trees for rows of this type".to_owned())),
        };
        match compiled {
            Compiled::Classifier(classifier, model) => {
                let labels = classifier.labels();
                budget.elements(count.saturating_mul(labels.len()), size_of::<f32>())?;
                let (mut classes, mut scores) = (vec![0; count], vec![0.0; count * labels.len()]);
                classifier.predict(model, rows, width, &mut classes, &mut scores).map_err(unfit)?;
                let of = |class: &u32| *class as usize;
                let labels_of = match labels {
                    Labels::Integers(labels) => {
                        Data::Int64(classes.iter().map(|class| labels.get(of(class)).copied().unwrap_or(0)).collect())
                    }
                    Labels::Texts(labels) => Data::String(
                        classes.iter().map(|class| labels.get(of(class)).cloned().unwrap_or_default()).collect(),
                    ),
                };
                let scores = tensor(&[count, labels.len()], Data::Float32(scores))?;
                Ok(smallvec![tensor(&[count], labels_of)?, scores])
            }
            Compiled::Scores(ensemble, model) => {
                let targets = ensemble.parts().targets;
                // The operator of version 5 gives the type that goes in, the older one floats always.
                let is_double = matches!(self.definition, Definition::Ensemble(_)) && X::INPUT == Input::F64;
                let data = if is_double {
                    Data::Float64(scores(model, rows, (count, width, targets), budget)?)
                } else {
                    Data::Float32(scores(model, rows, (count, width, targets), budget)?)
                };
                Ok(smallvec![tensor(&[count, targets], data)?])
            }
        }
    }
}

fn scores<X: Element, Y: Score>(
    model: &Model,
    rows: &[X],
    (count, width, targets): (usize, usize, usize),
    budget: &mut Budget,
) -> Result<Vec<Y>, OperatorError> {
    budget.elements(count.saturating_mul(targets), size_of::<Y>())?;
    let mut scores = vec![Y::default(); count * targets];
    model.predict(rows, width, &mut scores).map_err(unfit)?;
    Ok(scores)
}

fn unfit(error: PredictError) -> OperatorError {
    OperatorError::Shape(error.to_string())
}

fn tensor(dimensions: &[usize], data: Data) -> Result<Value, OperatorError> {
    let tensor = Tensor::new(Shape::new(dimensions)?, data);
    tensor.map(Value::Tensor).map_err(|error| OperatorError::Shape(error.to_string()))
}

fn classifier(setup: &Setup<'_>) -> Result<Box<ClassifierAttributes>, BuildError> {
    let attributes = setup.attributes();
    let texts = attributes.strings("classlabels_strings")?.unwrap_or_default();
    let numbers = attributes.ints("classlabels_int64s")?.unwrap_or_default();
    let labels = match (texts.is_empty(), numbers.is_empty()) {
        (false, false) => {
            return Err(BuildError::attribute("classlabels_strings", "is there beside `classlabels_int64s`"));
        }
        (false, true) => Labels::Texts(texts),
        (true, _) => Labels::Integers(numbers.to_vec()),
    };
    Ok(Box::new(ClassifierAttributes {
        nodes: nodes(attributes)?,
        votes: votes(
            attributes,
            ["class_treeids", "class_nodeids", "class_ids", "class_weights", "class_weights_as_tensor"],
        )?,
        labels,
        post_transform: attributes.text("post_transform")?.unwrap_or_default().to_owned(),
        base_values: floats(attributes, "base_values", "base_values_as_tensor")?,
    }))
}

fn regressor(attributes: &Reader<'_>) -> Result<Box<RegressorAttributes>, BuildError> {
    Ok(Box::new(RegressorAttributes {
        nodes: nodes(attributes)?,
        votes: votes(
            attributes,
            ["target_treeids", "target_nodeids", "target_ids", "target_weights", "target_weights_as_tensor"],
        )?,
        targets: attributes.int_or("n_targets", 1)?,
        aggregate_function: attributes.text("aggregate_function")?.unwrap_or_default().to_owned(),
        post_transform: attributes.text("post_transform")?.unwrap_or_default().to_owned(),
        base_values: floats(attributes, "base_values", "base_values_as_tensor")?,
    }))
}

fn ensemble(attributes: &Reader<'_>) -> Result<Box<TreeEnsembleAttributes>, BuildError> {
    attributes.ignore(&["nodes_hitrates"]);
    let modes = match attributes.tensor("nodes_modes")?.map(Tensor::data) {
        Some(Data::Uint8(modes)) => modes.clone(),
        Some(other) => {
            let problem = format!("expected a tensor of UINT8, got {}", other.data_type().label());
            return Err(BuildError::attribute("nodes_modes", problem));
        }
        None => return Err(BuildError::attribute("nodes_modes", "is missing")),
    };
    Ok(Box::new(TreeEnsembleAttributes {
        aggregate_function: attributes.int_or("aggregate_function", 1)?,
        post_transform: attributes.int_or("post_transform", 0)?,
        targets: attributes.int_or("n_targets", 1)?,
        tree_roots: ints(attributes, "tree_roots")?,
        nodes_modes: modes,
        nodes_featureids: ints(attributes, "nodes_featureids")?,
        nodes_splits: numbers(attributes, "nodes_splits")?,
        nodes_truenodeids: ints(attributes, "nodes_truenodeids")?,
        nodes_trueleafs: ints(attributes, "nodes_trueleafs")?,
        nodes_falsenodeids: ints(attributes, "nodes_falsenodeids")?,
        nodes_falseleafs: ints(attributes, "nodes_falseleafs")?,
        nodes_missing_value_tracks_true: ints(attributes, "nodes_missing_value_tracks_true")?,
        leaf_targetids: ints(attributes, "leaf_targetids")?,
        leaf_weights: numbers(attributes, "leaf_weights")?,
        membership_values: numbers(attributes, "membership_values")?,
    }))
}

fn nodes(attributes: &Reader<'_>) -> Result<NodeAttributes, BuildError> {
    attributes.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
    Ok(NodeAttributes {
        tree_ids: ints(attributes, "nodes_treeids")?,
        node_ids: ints(attributes, "nodes_nodeids")?,
        feature_ids: ints(attributes, "nodes_featureids")?,
        modes: attributes.strings("nodes_modes")?.unwrap_or_default(),
        values: floats(attributes, "nodes_values", "nodes_values_as_tensor")?,
        true_node_ids: ints(attributes, "nodes_truenodeids")?,
        false_node_ids: ints(attributes, "nodes_falsenodeids")?,
        missing_value_tracks_true: ints(attributes, "nodes_missing_value_tracks_true")?,
    })
}

fn votes(attributes: &Reader<'_>, names: [&str; 5]) -> Result<VoteAttributes, BuildError> {
    let [tree_ids, node_ids, ids, weights, as_tensor] = names;
    Ok(VoteAttributes {
        tree_ids: ints(attributes, tree_ids)?,
        node_ids: ints(attributes, node_ids)?,
        ids: ints(attributes, ids)?,
        weights: floats(attributes, weights, as_tensor)?,
    })
}

fn ints(attributes: &Reader<'_>, name: &str) -> Result<Vec<i64>, BuildError> {
    Ok(attributes.ints(name)?.unwrap_or_default().to_vec())
}

/// A list, or the tensor that is there in its place.
fn floats(attributes: &Reader<'_>, list: &str, as_tensor: &str) -> Result<Floats, BuildError> {
    let (listed, tensor) = (attributes.floats(list)?.unwrap_or_default(), numbers(attributes, as_tensor)?);
    match (listed.is_empty(), tensor.is_empty()) {
        (false, false) => Err(BuildError::attribute(as_tensor, format!("is there beside `{list}`"))),
        (false, true) => Ok(Floats::F32(listed.to_vec())),
        (true, _) => Ok(tensor),
    }
}

fn numbers(attributes: &Reader<'_>, name: &str) -> Result<Floats, BuildError> {
    match attributes.tensor(name)?.map(Tensor::data) {
        None => Ok(Floats::default()),
        Some(Data::Float32(numbers)) => Ok(Floats::F32(numbers.clone())),
        Some(Data::Float64(numbers)) => Ok(Floats::F64(numbers.clone())),
        Some(other) => {
            let problem = format!("expected a tensor of FP32 or FP64, got {}", other.data_type().label());
            Err(BuildError::attribute(name, problem))
        }
    }
}
