//! A case, as `cases.py` and `answers.py` write it.

use std::collections::BTreeMap;

use half::{bf16, f16};
use serde::Deserialize;
use witgate_operators::{Attribute, Attributes, Data, GraphSpec, Keys, Map, Node, Shape, Tensor, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Refused(String),
    Wrong(String),
}

#[derive(Debug, Deserialize)]
pub struct Case {
    pub name: String,
    /// `domain.operator` of each node.
    #[serde(default)]
    pub operators: Vec<String>,
    #[serde(default)]
    pub rtol: f64,
    pub unsupported: Option<String>,
    graph: Option<GraphJson>,
    #[serde(default)]
    pub sets: Vec<Set>,
}

#[derive(Debug, Deserialize)]
pub struct Set {
    inputs: Vec<ValueJson>,
    outputs: Vec<ValueJson>,
    /// What answers may differ by, where it is not the same for all.
    pub rtol: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct GraphJson {
    opsets: BTreeMap<String, u32>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    initializers: BTreeMap<String, ValueJson>,
    nodes: Vec<NodeJson>,
}

#[derive(Debug, Deserialize)]
struct NodeJson {
    #[serde(default)]
    name: String,
    #[serde(default)]
    domain: String,
    op_type: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, AttributeJson>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueJson {
    Absent(serde::de::IgnoredAny),
    Tensor(TensorJson),
    Sequence(Vec<ValueJson>),
    Map(TensorJson, TensorJson),
}

#[derive(Debug, Deserialize)]
struct TensorJson {
    r#type: String,
    shape: Vec<usize>,
    data: ElementsJson,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ElementsJson {
    Hexadecimal(String),
    Texts(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AttributeJson {
    Int(i64),
    Float(String),
    String(String),
    Tensor(TensorJson),
    Ints(Vec<i64>),
    Floats(Vec<String>),
    Strings(Vec<String>),
    Tensors(Vec<TensorJson>),
    Graph(Box<GraphJson>),
}

pub fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

macro_rules! numbers {
    ($bytes:expr, $type:ty) => {
        $bytes.chunks_exact(size_of::<$type>()).map(|part| <$type>::from_le_bytes(part.try_into().unwrap())).collect()
    };
}

impl TensorJson {
    fn tensor(&self) -> Tensor {
        let data = match &self.data {
            ElementsJson::Texts(texts) => Data::String(texts.clone()),
            ElementsJson::Hexadecimal(digits) => {
                let bytes = bytes(digits);
                match self.r#type.as_str() {
                    "BOOL" => Data::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
                    "UINT8" => Data::Uint8(bytes),
                    "UINT16" => Data::Uint16(numbers!(bytes, u16)),
                    "UINT32" => Data::Uint32(numbers!(bytes, u32)),
                    "UINT64" => Data::Uint64(numbers!(bytes, u64)),
                    "INT8" => Data::Int8(numbers!(bytes, i8)),
                    "INT16" => Data::Int16(numbers!(bytes, i16)),
                    "INT32" => Data::Int32(numbers!(bytes, i32)),
                    "INT64" => Data::Int64(numbers!(bytes, i64)),
                    "FP16" => Data::Float16(numbers!(bytes, f16)),
                    "BF16" => Data::Bfloat16(numbers!(bytes, bf16)),
                    "FP32" => Data::Float32(numbers!(bytes, f32)),
                    "FP64" => Data::Float64(numbers!(bytes, f64)),
                    other => panic!("{other} is no type"),
                }
            }
        };
        Tensor::new(Shape::new(&self.shape).unwrap(), data).unwrap()
    }
}

fn map(keys: &TensorJson, values: &TensorJson) -> Map {
    let keys = match keys.tensor().data() {
        Data::Int64(keys) => Keys::Int64(keys.as_slice().into()),
        Data::String(keys) => Keys::String(keys.as_slice().into()),
        other => panic!("{other:?} are no keys"),
    };
    Map::new(keys, values.tensor().data().clone()).unwrap()
}

impl ValueJson {
    fn value(&self) -> Value {
        match self {
            Self::Absent(_) => Value::Absent,
            Self::Tensor(tensor) => Value::Tensor(tensor.tensor()),
            Self::Sequence(values) => Value::Sequence(values.iter().map(Self::value).collect()),
            Self::Map(keys, values) => Value::Map(map(keys, values)),
        }
    }
}

impl AttributeJson {
    fn attribute(&self) -> Attribute {
        let float = |digits: &String| f32::from_le_bytes(bytes(digits).try_into().unwrap());
        match self {
            Self::Int(number) => Attribute::Int(*number),
            Self::Float(digits) => Attribute::Float(float(digits)),
            Self::String(digits) => Attribute::String(bytes(digits)),
            Self::Tensor(tensor) => Attribute::Tensor(tensor.tensor()),
            Self::Ints(numbers) => Attribute::Ints(numbers.clone()),
            Self::Floats(numbers) => Attribute::Floats(numbers.iter().map(float).collect()),
            Self::Strings(texts) => Attribute::Strings(texts.iter().map(|text| bytes(text)).collect()),
            Self::Tensors(tensors) => Attribute::Tensors(tensors.iter().map(TensorJson::tensor).collect()),
            Self::Graph(graph) => Attribute::Graph(Box::new(graph.spec())),
        }
    }
}

impl NodeJson {
    fn node(&self) -> Node {
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), value.attribute()));
        Node {
            name: self.name.clone(),
            domain: self.domain.clone(),
            op_type: self.op_type.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            attributes: attributes.collect::<Attributes>(),
        }
    }
}

impl GraphJson {
    fn spec(&self) -> GraphSpec {
        GraphSpec {
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            initializers: self.initializers.iter().map(|(name, value)| (name.clone(), value.value())).collect(),
            nodes: self.nodes.iter().map(NodeJson::node).collect(),
            opsets: self.opsets.iter().map(|(domain, version)| (domain.clone(), *version)).collect(),
        }
    }
}

impl Case {
    pub fn spec(&self) -> GraphSpec {
        self.graph.as_ref().expect("a case that is supported has a graph").spec()
    }
}

impl Set {
    pub fn inputs(&self) -> Vec<Value> {
        self.inputs.iter().map(ValueJson::value).collect()
    }

    pub fn outputs(&self) -> Vec<Value> {
        self.outputs.iter().map(ValueJson::value).collect()
    }
}
