//! The cases of ONNX with something changed in them: an attribute that is huge, a dimension that is nothing, an index that
//! is out of range. They are answered or refused; nothing panics, and nothing takes more than it may.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use witgate_operators::{Attribute, Attributes, Data, Graph, GraphSpec, Limits, Node, Shape, Tensor, Value};

use super::cases;

/// Small, so that what asks for nothing is noticed by its memory and time.
const LIMITS: Limits = Limits { elements: 1 << 20, bytes: 1 << 26, work: 1 << 22 };

/// Changes that are tried of each case; `WITGATE_ALTERED_TRIES` tells more.
fn tries() -> usize {
    std::env::var("WITGATE_ALTERED_TRIES").map_or(8, |tries| tries.parse().unwrap())
}

/// Numbers that come one after the other, the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn int(&mut self) -> i64 {
        const ODD: [i64; 16] = [
            0,
            1,
            2,
            3,
            -1,
            -2,
            7,
            64,
            1 << 20,
            1 << 31,
            (1 << 31) + 1,
            1 << 40,
            1 << 62,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ];
        ODD[self.below(ODD.len())]
    }

    fn float(&mut self) -> f32 {
        const ODD: [f32; 10] =
            [0.0, -0.0, 0.5, -1.0, 1e-45, 1e30, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        ODD[self.below(ODD.len())]
    }
}

/// One of a list is another one, one less, or one more.
fn alter_list<T: Clone>(numbers: &mut Numbers, list: &mut Vec<T>, other: T) {
    match (numbers.below(4), list.len()) {
        (0, _) => list.push(other),
        (1, 1..) => drop(list.pop()),
        (_, length @ 1..) => list[numbers.below(length)] = other,
        (_, 0) => list.push(other),
    }
}

fn alter_attribute(numbers: &mut Numbers, attribute: &mut Attribute) {
    match attribute {
        Attribute::Int(number) => *number = numbers.int(),
        Attribute::Float(number) => *number = numbers.float(),
        Attribute::String(text) => {
            *text = [&b""[..], b"NOTSET", b"linear", b"\xff", b"mean"][numbers.below(5)].to_vec()
        }
        Attribute::Ints(list) => {
            let other = numbers.int();
            alter_list(numbers, list, other);
        }
        Attribute::Floats(list) => {
            let other = numbers.float();
            alter_list(numbers, list, other);
        }
        Attribute::Strings(list) => alter_list(numbers, list, b"Relu".to_vec()),
        Attribute::Tensor(tensor) => *tensor = altered_tensor(numbers, tensor),
        Attribute::Tensors(list) => list.truncate(1),
        Attribute::Graph(graph) => alter_graph(numbers, graph),
    }
}

/// Elements for another shape.
fn resized(data: &Data, count: usize) -> Data {
    macro_rules! each {
        ($($variant:ident),*) => {
            match data {
                $(Data::$variant(elements) => {
                    let mut elements = elements.clone();
                    let fill = elements.last().cloned().unwrap_or_default();
                    elements.resize(count, fill);
                    Data::$variant(elements)
                })*
            }
        };
    }
    each!(Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Bfloat16, Float32, Float64, String)
}

fn altered_tensor(numbers: &mut Numbers, tensor: &Tensor) -> Tensor {
    let (mut dimensions, mut data) = (tensor.shape().dimensions().to_vec(), tensor.data().clone());
    match numbers.below(8) {
        0 => {
            let other = [0, 1, 2, 3, 5][numbers.below(5)];
            alter_list(numbers, &mut dimensions, other);
        }
        1 | 2 if !dimensions.is_empty() => {
            let at = numbers.below(dimensions.len());
            dimensions[at] = [0, 1, 2, 3, 5][numbers.below(5)];
        }
        3 if !dimensions.is_empty() => {
            // Of no elements, and of sizes that nothing can be allocated for.
            let (at, rank) = (numbers.below(dimensions.len()), dimensions.len());
            dimensions[at] = 0;
            if rank > 1 {
                dimensions[(at + 1) % rank] = 1 << 34;
            }
        }
        4 => {
            data = Data::zeros(
                [data.data_type(), witgate_operators::DataType::Float64, witgate_operators::DataType::Int32]
                    [numbers.below(3)],
                data.len(),
            )
        }
        _ => {
            let at = numbers.below(data.len());
            match &mut data {
                Data::Int64(elements) if !elements.is_empty() => elements[at] = numbers.int(),
                Data::Int32(elements) if !elements.is_empty() => elements[at] = numbers.int() as i32,
                Data::Float32(elements) if !elements.is_empty() => elements[at] = numbers.float(),
                Data::Float64(elements) if !elements.is_empty() => elements[at] = f64::from(numbers.float()),
                Data::Uint8(elements) if !elements.is_empty() => elements[at] = numbers.int() as u8,
                _ => {}
            }
        }
    }
    match Shape::new(&dimensions) {
        Ok(shape) if shape.elements() < 1 << 20 => {
            let data = resized(&data, shape.elements());
            Tensor::new(shape, data).unwrap()
        }
        _ => tensor.clone(),
    }
}

fn alter_node(numbers: &mut Numbers, node: &mut Node) {
    let mut attributes: Vec<(String, Attribute)> =
        node.attributes.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    match (numbers.below(4), attributes.len()) {
        (0, _) => alter_list(numbers, &mut node.inputs, String::new()),
        (1, 1..) => drop(attributes.remove(numbers.below(attributes.len()))),
        (_, length @ 1..) => {
            let at = numbers.below(length);
            alter_attribute(numbers, &mut attributes[at].1);
        }
        (_, 0) => {}
    }
    node.attributes = attributes.into_iter().collect::<Attributes>();
}

fn alter_graph(numbers: &mut Numbers, graph: &mut GraphSpec) {
    match (numbers.below(3), graph.nodes.len(), graph.initializers.len()) {
        (0, _, length @ 1..) => {
            let at = numbers.below(length);
            alter_value(numbers, &mut graph.initializers[at].1);
        }
        (_, length @ 1.., _) => {
            let at = numbers.below(length);
            alter_node(numbers, &mut graph.nodes[at]);
        }
        _ => {}
    }
}

fn alter_value(numbers: &mut Numbers, value: &mut Value) {
    match value {
        Value::Tensor(tensor) => *tensor = altered_tensor(numbers, tensor),
        Value::Sequence(values) if !values.is_empty() => {
            let at = numbers.below(values.len());
            alter_value(numbers, &mut values[at]);
        }
        _ => {}
    }
}

#[test]
fn altered_cases_are_answered_or_refused() {
    let mut panicked = BTreeSet::new();
    let (mut answered, mut refused) = (0_usize, 0_usize);
    for (at, case) in cases().iter().filter(|case| case.unsupported.is_none() && !case.sets.is_empty()).enumerate() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (at as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        for _ in 0..tries() {
            let (mut spec, mut inputs) = (case.spec(), case.sets[0].inputs());
            for _ in 0..=numbers.below(3) {
                if numbers.below(2) == 0 || inputs.is_empty() {
                    alter_graph(&mut numbers, &mut spec);
                } else {
                    let at = numbers.below(inputs.len());
                    alter_value(&mut numbers, &mut inputs[at]);
                }
            }
            if numbers.below(2) == 0 {
                // What comes with a request may be constant, too.
                let constant = inputs.split_off(inputs.len().min(1));
                let names = spec.inputs.split_off(spec.inputs.len().min(1));
                spec.initializers.extend(names.into_iter().zip(constant));
            }
            let told = || format!("{}: {:?} of {:?}", case.name, spec.nodes.first(), shapes(&inputs));
            let begun = std::time::Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                Graph::new(spec.clone(), &(), LIMITS).ok().and_then(|graph| graph.run(inputs.clone()).ok()).is_some()
            }));
            if begun.elapsed().as_millis() > 300 {
                eprintln!("SLOW {:?} {}", begun.elapsed(), told());
            }
            match outcome {
                Err(_) => drop(panicked.insert(told())),
                Ok(true) => answered += 1,
                Ok(false) => refused += 1,
            }
        }
    }
    println!("{answered} altered cases answered, {refused} refused");
    assert_eq!(panicked, BTreeSet::new());
    assert!(answered > 0 && refused > 0, "changes change something, and not all");
}

fn shapes(values: &[Value]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
