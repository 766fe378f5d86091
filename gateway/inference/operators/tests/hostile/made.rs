//! Operators, attributes, inputs and graphs of every kind, most of them such that no exporter writes them. What is random is
//! asked of numbers, so that tests can use a generator and a fuzzer its input.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "shared by a test and the fuzzer"
)]

use std::collections::BTreeSet;

use witgate_operators::{
    Attribute, Attributes, Budget, BuildError, Data, DataType, GraphSpec, Limits, Node, Operator, Shape, Source,
    Tensor, Value, lookup,
};

/// Small, so that what asks for nothing is noticed by its memory and time.
pub const LIMITS: Limits = Limits { elements: 1 << 16, bytes: 1 << 22, work: 1 << 20 };

/// Where decisions come from.
pub enum Numbers<'a> {
    /// The same in each run (xorshift).
    Random(u64),
    /// The bytes of a fuzzer, and after the last nothing but zeros.
    Bytes(&'a [u8]),
}

impl Numbers<'_> {
    /// `end` is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        match self {
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                (*state % end as u64) as usize
            }
            Self::Bytes(bytes) => {
                let (mut number, mut reach) = (0, 1);
                while reach < end {
                    let Some((byte, rest)) = bytes.split_first() else { break };
                    number = number << 8 | usize::from(*byte);
                    reach <<= 8;
                    *bytes = rest;
                }
                number % end
            }
        }
    }

    /// Whether there is nothing left to decide by.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn int(&mut self) -> i64 {
        const ODD: [i64; 12] =
            [i64::MIN, i64::MAX, -1, 1 << 31, (1 << 31) + 1, 1 << 40, i64::MIN + 1, -2, 1 << 20, 65, 255, 1 << 62];
        if self.below(6) == 0 { *self.of(&ODD) } else { self.below(4) as i64 }
    }

    fn float(&mut self) -> f32 {
        const ODD: [f32; 9] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1e-45, 1e20];
        if self.below(6) == 0 { *self.of(&ODD) } else { self.below(9) as f32 / 4.0 - 1.0 }
    }

    fn ints(&mut self) -> Vec<i64> {
        (0..self.below(7)).map(|_| self.int()).collect()
    }
}

/// Names that attributes have.
const NAMES: &str = "axis keepdims group ceil_mode count_include_pad storage_order p hidden_size layout \
    linear_before_reset input_forget block_size saturate num_groups size num_scan_inputs antialias exclude_outside \
    periodic output_datatype inverse onesided is_causal q_num_heads kv_num_heads qk_matmul_output_mode \
    left_window_size right_window_size rotary_embedding_dim interleaved num_heads center_point_box ignore_index \
    select_last_index to dtype k upper exclusive reverse largest sorted batch_dims allowzero blocksize num_outputs start \
    end new_axis stash_type output_dtype precision softmax_precision noop_with_empty_axes transA transB fmod batch_axis \
    time_axis alpha beta gamma epsilon bias clip scale softcap cubic_coeff_a extrapolation_value lambd min max \
    value_float value_int value_ints value_floats value_string value_strings value training_mode momentum pads strides \
    dilations kernel_shape axes output_padding output_shape perm split scan_input_axes starts ends auto_pad mode \
    direction reduction coordinate_transformation_mode nearest_mode keep_aspect_ratio_policy update_rule activation \
    equation approximate padding_mode activations activation_alpha activation_beta seed detect_negative detect_positive \
    case_change_action is_case_sensitive stopwords locale delimiter maxsplit pattern max_gram_length min_gram_length \
    max_skip_count ngram_counts ngram_indexes pool_int64s pool_strings weights tokenexp mark pad_value mincharnum \
    separators threshold coefficients intercepts targets post_transform multi_class classlabels_ints classlabels_int64s \
    classlabels_strings kernel_type kernel_params support_vectors vectors_per_class prob_a prob_b rho n_supports \
    n_targets one_class keys_int64s keys_strings keys_floats values_int64s values_strings values_floats default_int64 \
    default_string default_float keys_tensor values_tensor default_tensor cats_int64s cats_strings zeros offset norm \
    imputed_value_floats imputed_value_int64s replaced_value_float replaced_value_int64 inputdimensions int64_vocabulary \
    string_vocabulary cast_to map_form max_map";

const WORDS: [&str; 38] = [
    "NOTSET",
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "nearest",
    "linear",
    "cubic",
    "circular",
    "constant",
    "reflect",
    "edge",
    "wrap",
    "forward",
    "reverse",
    "bidirectional",
    "RIGHT",
    "LEFT",
    "none",
    "mean",
    "sum",
    "align_corners",
    "tf_crop_and_resize",
    "not_larger",
    "gated_delta",
    "ij,jk->ik",
    "...i,i",
    "tanh",
    "LINEAR",
    "POLY",
    "RBF",
    "SOFTMAX",
    "LOGISTIC",
    "PROBIT",
    "TF",
    "TFIDF",
    "L1",
    "DCR",
    "[a-z]+|\u{e4}*",
];

/// A value of each kind of attribute.
const KINDS: usize = 8;

fn attribute(numbers: &mut Numbers<'_>, kind: usize) -> Attribute {
    let word = |numbers: &mut Numbers<'_>| numbers.of(&WORDS).as_bytes().to_vec();
    let count = numbers.below(6);
    match kind {
        0 => Attribute::Int(numbers.int()),
        1 => Attribute::Float(numbers.float()),
        2 => Attribute::String(word(numbers)),
        3 => Attribute::Ints(numbers.ints()),
        4 => Attribute::Floats((0..count).map(|_| numbers.float()).collect()),
        5 => Attribute::Strings((0..count).map(|_| word(numbers)).collect()),
        6 => Attribute::Tensor(tensor(numbers)),
        _ => Attribute::Tensors((0..count).map(|_| tensor(numbers)).collect()),
    }
}

pub fn tensor(numbers: &mut Numbers<'_>) -> Tensor {
    const TYPES: [DataType; 14] = [
        DataType::Float32,
        DataType::Float32,
        DataType::Float32,
        DataType::Float32,
        DataType::Float64,
        DataType::Float16,
        DataType::Bfloat16,
        DataType::Int64,
        DataType::Int64,
        DataType::Int32,
        DataType::Uint8,
        DataType::Int8,
        DataType::Bool,
        DataType::String,
    ];
    let rank = numbers.below(6);
    let dimensions: Vec<usize> = (0..rank).map(|_| *numbers.of(&[0, 1, 1, 2, 2, 3, 4, 6])).collect();
    let mut shape = Shape::new(&dimensions).unwrap();
    if numbers.below(30) == 0 {
        // Of no elements, and of sizes that nothing can be allocated for.
        shape = Shape::new(numbers.of::<[usize; 3]>(&[
            [0, 1 << 30, 1 << 15],
            [1 << 15, 0, 1 << 30],
            [1 << 30, 1 << 15, 0],
        ]))
        .unwrap();
    }
    let count = shape.elements();
    let data = match numbers.of(&TYPES) {
        DataType::Float32 => Data::Float32((0..count).map(|_| numbers.float()).collect()),
        DataType::Float64 => Data::Float64((0..count).map(|_| f64::from(numbers.float())).collect()),
        DataType::Int64 => Data::Int64((0..count).map(|_| numbers.int()).collect()),
        DataType::Int32 => Data::Int32((0..count).map(|_| numbers.int() as i32).collect()),
        DataType::Uint8 => Data::Uint8((0..count).map(|_| numbers.int() as u8).collect()),
        DataType::Int8 => Data::Int8((0..count).map(|_| numbers.int() as i8).collect()),
        DataType::Bool => Data::Bool((0..count).map(|_| numbers.below(2) == 0).collect()),
        DataType::String => Data::String((0..count).map(|_| (*numbers.of(&WORDS)).to_owned()).collect()),
        other => Data::zeros(*other, count),
    };
    Tensor::new(shape, data).unwrap()
}

pub fn value(numbers: &mut Numbers<'_>) -> Value {
    match numbers.below(16) {
        0 => Value::Absent,
        1 => Value::Sequence((0..numbers.below(3)).map(|_| Value::Tensor(tensor(numbers))).collect()),
        _ => Value::Tensor(tensor(numbers)),
    }
}

/// Another tensor of a type and of so many elements: a bias, or scales.
pub fn fitting(numbers: &mut Numbers<'_>, other: &Tensor) -> Tensor {
    let dimensions = other.shape().dimensions();
    let mut kept = dimensions.to_vec();
    match numbers.below(4) {
        0 => {}
        1 if !kept.is_empty() => kept = vec![*numbers.of(dimensions)],
        2 if kept.len() > 1 => kept.swap(0, 1),
        _ => kept.clear(),
    }
    let shape = Shape::new(&kept).ok().filter(|shape| shape.elements() < 10_000).unwrap_or(Shape::SCALAR);
    let count = shape.elements();
    let data = match other.data() {
        Data::Float32(_) => Data::Float32((0..count).map(|_| numbers.float()).collect()),
        other => Data::zeros(other.data_type(), count),
    };
    Tensor::new(shape, data).unwrap()
}

/// Inputs, some of them like those before: most operators ask for that.
pub fn inputs(numbers: &mut Numbers<'_>, count: usize) -> Vec<Value> {
    let mut inputs: Vec<Value> = Vec::new();
    for _ in 0..count {
        let next = match (inputs.first(), numbers.below(4)) {
            (Some(Value::Tensor(first)), 0 | 1) => Value::Tensor(fitting(numbers, first)),
            (Some(_), 2) => numbers.of(&inputs).clone(),
            _ => value(numbers),
        };
        inputs.push(next);
    }
    inputs
}

/// A version of an operator, and what it asks for.
pub struct Known {
    pub opset: u32,
    /// Attributes with their kinds.
    attributes: Vec<(&'static str, usize)>,
    /// Attributes that it cannot be without.
    required: Vec<&'static str>,
    /// Numbers of inputs and outputs.
    pub counts: Vec<(usize, usize)>,
}

/// What an operator says when it is asked for.
fn problem(name: (&str, &str), opset: u32, attributes: &Attributes, counts: (usize, usize)) -> Option<BuildError> {
    let (sources, outputs) = (vec![Source::Dynamic; counts.0], vec![true; counts.1]);
    Operator::new(name.0, name.1, opset, attributes, &sources, &outputs).err()
}

impl Known {
    pub fn of(name: (&str, &str), opset: u32) -> Self {
        let none = Attributes::new();
        let counts = (0..9).flat_map(|inputs| (0..5).map(move |outputs| (inputs, outputs)));
        let is_count = |counts: &(usize, usize)| {
            let problem = problem(name, opset, &none, *counts);
            !matches!(problem, Some(BuildError::Count { .. } | BuildError::Input { .. }))
        };
        let counts: Vec<_> = counts.filter(is_count).collect();
        let most = counts.last().copied().unwrap_or((1, 1));
        let mut numbers = Numbers::Random(1);
        let mut known = Self { opset, attributes: Vec::new(), required: Vec::new(), counts };
        for name_of in NAMES.split_whitespace() {
            for kind in 0..KINDS {
                let attributes = none.clone().with(name_of, attribute(&mut numbers, kind));
                // Read, of this kind, or not told of: what is missing is told first.
                let is_refused = match problem(name, opset, &attributes, most) {
                    Some(BuildError::Attribute { name, problem }) if name == name_of => {
                        problem.starts_with("expected a") && problem.contains(", got a")
                            || problem.ends_with("is not known to the operator")
                            || problem.contains("s, got")
                    }
                    Some(BuildError::Attribute { name, problem }) if problem.contains("is required") => {
                        known.required.extend(NAMES.split_whitespace().find(|other| *other == name));
                        false
                    }
                    _ => false,
                };
                if !is_refused {
                    known.attributes.push((name_of, kind));
                }
            }
        }
        known
    }

    pub fn attributes(&self, numbers: &mut Numbers<'_>) -> Attributes {
        let mut chosen: Vec<&(&str, usize)> = Vec::new();
        for required in &self.required {
            let all: Vec<_> = self.attributes.iter().filter(|(name, _)| name == required).collect();
            chosen.extend((!all.is_empty()).then(|| *numbers.of(&all)));
        }
        for _ in 0..numbers.below(4) {
            if !self.attributes.is_empty() {
                chosen.push(numbers.of(&self.attributes));
            }
        }
        let mut attributes = Attributes::new();
        let mut seen = BTreeSet::new();
        for (name, kind) in chosen {
            if seen.insert(*name) {
                attributes.set(*name, attribute(numbers, *kind));
            }
        }
        attributes
    }
}

/// Versions of the operator that differ.
pub fn versions((domain, op_type): (&str, &str)) -> Vec<u32> {
    let mut versions: Vec<u32> = Vec::new();
    for opset in (1..=28).rev() {
        let since = lookup(domain, op_type, opset).map(witgate_operators::Definition::since);
        if since.is_some_and(|since| {
            !versions.iter().any(|other| lookup(domain, op_type, *other).is_some_and(|it| it.since() == since))
        }) {
            versions.push(opset);
        }
    }
    versions
}

/// Makes an operator and runs it once. `is_constant`: whether all inputs but the first are known when it is made.
pub fn run(
    (domain, op_type): (&str, &str),
    opset: u32,
    attributes: &Attributes,
    (inputs, is_constant): (&[Value], bool),
    outputs: usize,
) -> Option<Vec<Value>> {
    let source = |value| match value {
        &Value::Absent => Source::Absent,
        value if is_constant => Source::Constant(value),
        _ => Source::Dynamic,
    };
    let mut sources: Vec<Source<'_>> = inputs.iter().map(source).collect();
    if let Some(first) = sources.first_mut().filter(|_| inputs.len() > 1) {
        *first = if matches!(first, Source::Absent) { Source::Absent } else { Source::Dynamic };
    }
    let made = Operator::new(domain, op_type, opset, attributes, &sources, &vec![true; outputs]).ok()?;
    made.run(inputs, &mut Budget::new(LIMITS)).ok()
}

/// Nodes of control with graphs within graphs.
pub fn nested(numbers: &mut Numbers<'_>) -> GraphSpec {
    let names = ["", "a", "b", "c", "d", "e"];
    let node = |numbers: &mut Numbers<'_>, attributes: Attributes| Node {
        op_type: (*numbers.of(&["If", "Loop", "Scan", "SequenceMap", "Add", "Identity"])).to_owned(),
        inputs: (0..numbers.below(4)).map(|_| (*numbers.of(&names)).to_owned()).collect(),
        outputs: (0..numbers.below(4)).map(|_| (*numbers.of(&names)).to_owned()).collect(),
        attributes,
        ..Node::default()
    };
    let spec = |numbers: &mut Numbers<'_>, nodes: Vec<Node>| GraphSpec {
        inputs: (0..numbers.below(4)).map(|_| (*numbers.of(&names)).to_owned()).collect(),
        outputs: (0..numbers.below(4)).map(|_| (*numbers.of(&names)).to_owned()).collect(),
        initializers: vec![("e".to_owned(), Value::Tensor(tensor(numbers)))],
        nodes,
        opsets: vec![(String::new(), 28)],
    };
    let mut inner = Attributes::new();
    for depth in 0..numbers.below(4) {
        let nodes = (0..numbers.below(3)).map(|_| node(numbers, inner.clone())).collect();
        let graph = Attribute::Graph(Box::new(spec(numbers, nodes)));
        inner = Attributes::new();
        let bodies: &[&str] = if depth % 2 == 0 { &["body"] } else { &["then_branch", "else_branch"] };
        bodies.iter().for_each(|name| inner.set(*name, graph.clone()));
    }
    let nodes = (0..numbers.below(3)).map(|_| node(numbers, inner.clone())).collect();
    spec(numbers, nodes)
}
