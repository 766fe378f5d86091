//! Random ensembles and rows, with everything that a node, a leaf and a number can be. What is random is asked of a die, so
//! that tests can use a generator and a fuzzer its input.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "shared by tests, benchmarks and the fuzzer"
)]

use witgate_trees::{
    Aggregate, BaseOrder, Child, Comparison, Leaf, Linear, Missing, Node, Parts, Precision, Test, Transform, Tree,
    Value, Vote,
};

/// Where decisions come from.
pub trait Dice {
    /// A number below `sides`, which is not 0.
    fn roll(&mut self, sides: usize) -> usize;

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())].clone()
    }
}

/// A generator (SplitMix64) that says the same after the same seed.
pub struct Random(pub u64);

impl Dice for Random {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}

/// The bytes of a fuzzer, and after the last nothing but zeros.
pub struct Bytes<'a>(pub &'a [u8]);

impl Dice for Bytes<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        let (mut number, mut reach) = (0, 1);
        while reach < sides {
            let Some((byte, rest)) = self.0.split_first() else { break };
            number = number << 8 | usize::from(*byte);
            reach <<= 8;
            self.0 = rest;
        }
        number % sides
    }
}

/// How large an ensemble may be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub trees: usize,
    pub leaves: usize,
    pub features: usize,
    pub targets: usize,
    /// Different thresholds of a feature.
    pub thresholds: usize,
}

/// What the nodes of an ensemble are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One comparison, and nothing missing: LightGBM and XGBoost without missing values, most models of ONNX.
    Plain,
    /// All that there is.
    Anything,
}

/// A number as it turns up in ensembles and rows: often one of a few, so that rows meet thresholds.
pub fn number(dice: &mut impl Dice, thresholds: usize) -> f64 {
    const SPECIAL: [f64; 20] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1e-35,
        -1e-35,
        1.1e-35,
        1e-45,
        -1e-45,
        f32::MAX as f64,
        f32::MIN as f64,
        1e300,
        -1e300,
        5e-324,
        0.1,
        -0.5,
        16_777_217.0,
        31.0,
        9_007_199_254_740_993.0,
    ];
    if dice.chance(12) {
        return dice.one_of(&SPECIAL);
    }
    let step = dice.roll(thresholds.max(1)) as f64;
    let number = (step - thresholds as f64 / 2.0) * 0.37;
    match dice.roll(4) {
        0 => f64::from((number as f32).next_up()),
        1 => f64::from((number as f32).next_down()),
        _ => number,
    }
}

fn rounded(number: f64, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(number as f32),
        Precision::F64 => number,
    }
}

fn weight(dice: &mut impl Dice, precision: Precision) -> f64 {
    let weight = match dice.roll(40) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => 1e-40,
        3 => -0.0,
        4 => 1e30,
        _ => (dice.roll(20_001) as f64 - 10_000.0) / 7919.0,
    };
    rounded(weight, precision)
}

/// Parts that make an ensemble.
pub fn parts(dice: &mut impl Dice, size: Size, style: Style) -> Parts {
    let thresholds = dice.one_of(&[Precision::F32, Precision::F64]);
    let scores = dice.one_of(&[Precision::F32, Precision::F64]);
    let aggregate = match style {
        Style::Plain => Aggregate::Sum,
        Style::Anything => {
            dice.one_of(&[Aggregate::Sum, Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max])
        }
    };
    let features = dice.roll(size.features) + 1;
    let targets = dice.roll(size.targets) + 1;
    let comparisons = match style {
        Style::Plain => vec![dice.one_of(&[Comparison::AtMost, Comparison::Below, Comparison::Above])],
        Style::Anything => vec![
            Comparison::AtMost,
            Comparison::Below,
            Comparison::AtLeast,
            Comparison::Above,
            Comparison::Equal,
            Comparison::Unequal,
        ],
    };
    let votes = if style == Style::Plain { dice.roll(2) } else { dice.roll(4) };
    let grower = Grower { size, style, thresholds, scores, features, targets, comparisons, votes };
    let trees = (0..dice.roll(size.trees) + 1).map(|id| grower.tree(dice, id)).collect();
    let base_order = match aggregate {
        Aggregate::Sum => dice.one_of(&[BaseOrder::BeforeTrees, BaseOrder::AfterTrees]),
        _ => BaseOrder::AfterTrees,
    };
    let base = if dice.chance(2) {
        (0..targets).map(|_| rounded(dice.roll(100) as f64 / 30.0 - 1.0, scores)).collect()
    } else {
        Vec::new()
    };
    let transform = match style {
        Style::Plain => Transform::None,
        Style::Anything => dice.one_of(&[
            Transform::None,
            Transform::None,
            Transform::Softmax,
            Transform::Logistic,
            Transform::SoftmaxZero,
            Transform::Probit,
        ]),
    };
    Parts { features, targets, trees, thresholds, scores, aggregate, base, base_order, transform }
}

struct Grower {
    size: Size,
    style: Style,
    thresholds: Precision,
    scores: Precision,
    features: usize,
    targets: usize,
    comparisons: Vec<Comparison>,
    /// 0: one vote for the first target; 1: for a target of the tree; else: any.
    votes: usize,
}

impl Grower {
    fn tree(&self, dice: &mut impl Dice, id: usize) -> Tree {
        let count = dice.roll(self.size.leaves) + 1;
        let mut nodes: Vec<Node> = Vec::new();
        let mut root = Child::Leaf(0);
        // Places that lead nowhere yet: those of a node, or the root.
        let mut open: Vec<Option<(usize, bool)>> = vec![None];
        let set = |nodes: &mut Vec<Node>, root: &mut Child, place, child| match place {
            None => *root = child,
            Some((node, true)) => nodes[node as usize].yes = child,
            Some((node, false)) => nodes[node as usize].no = child,
        };
        for _ in 1..count {
            let place = open.swap_remove(dice.roll(open.len())).map(|(node, yes)| (node as u32, yes));
            let index = nodes.len();
            nodes.push(self.node(dice, index));
            set(&mut nodes, &mut root, place, Child::Node(index as u32));
            open.extend([Some((index, true)), Some((index, false))]);
        }
        let target = dice.roll(self.targets) as u32;
        let mut leaves: Vec<Leaf> = Vec::new();
        for place in open {
            let leaf = if self.style == Style::Anything && !leaves.is_empty() && dice.chance(20) {
                dice.roll(leaves.len())
            } else {
                leaves.push(self.leaf(dice, target));
                leaves.len() - 1
            };
            set(&mut nodes, &mut root, place.map(|(node, yes)| (node as u32, yes)), Child::Leaf(leaf as u32));
        }
        let weight = match (self.style, dice.roll(8)) {
            (Style::Anything, 0) => rounded(dice.roll(100) as f64 / 77.0, self.scores),
            _ => 1.0,
        };
        Tree { id: id as i64, root, nodes, leaves, weight }
    }

    fn node(&self, dice: &mut impl Dice, id: usize) -> Node {
        let feature = dice.roll(self.features) as u32;
        let of_type = |number| rounded(number, self.thresholds);
        let kind = if self.style == Style::Plain { 9 } else { dice.roll(10) };
        let test = match kind {
            0 => {
                let count = dice.roll(6);
                Test::Member((0..count).map(|_| of_type(number(dice, self.size.thresholds))).collect())
            }
            1 => {
                let count = dice.roll(4);
                Test::Category((0..count).map(|_| (dice.roll(1 << 16) * 65_537) as u32).collect())
            }
            _ => Test::Compare {
                comparison: dice.one_of(&self.comparisons),
                threshold: of_type(number(dice, self.size.thresholds)),
            },
        };
        let yes = dice.chance(2);
        let missing = match self.style {
            Style::Plain => Missing::Nothing,
            Style::Anything => dice.one_of(&[
                Missing::Nothing,
                Missing::Nothing,
                Missing::NanAsZero,
                Missing::Nan { yes },
                Missing::NanOrZero { yes },
            ]),
        };
        Node { id: id as i64, feature, test, missing, yes: Child::Leaf(0), no: Child::Leaf(0) }
    }

    fn leaf(&self, dice: &mut impl Dice, target: u32) -> Leaf {
        let count = if self.votes < 2 { 1 } else { dice.roll(4) };
        let votes = (0..count).map(|_| {
            let target = match self.votes {
                0 => 0,
                1 => target,
                _ => dice.roll(self.targets) as u32,
            };
            let value = if self.votes == 3 && dice.chance(4) {
                let terms = (0..dice.roll(4))
                    .map(|_| (dice.roll(self.features) as u32, dice.roll(100) as f64 / 7.0 - 7.0))
                    .collect();
                let (intercept, otherwise) = (dice.roll(100) as f64 / 3.0, dice.roll(100) as f64 / 9.0);
                Value::Linear(Box::new(Linear { intercept, terms, otherwise }))
            } else {
                Value::Constant(weight(dice, self.scores))
            };
            Vote { target, value }
        });
        Leaf { votes: votes.collect() }
    }
}

/// Rows of so many numbers.
pub fn rows(dice: &mut impl Dice, count: usize, width: usize, thresholds: usize) -> Vec<f64> {
    (0..count * width).map(|_| number(dice, thresholds)).collect()
}

/// Trees as LightGBM grows them: the leaf with the most rows is split next, most often near its middle, so they are
/// unbalanced; features have at most 255 thresholds. `leaves` is the same for all.
pub fn boosted(dice: &mut impl Dice, trees: usize, leaves: usize, features: usize) -> Parts {
    let trees = (0..trees).map(|id| boosted_tree(dice, id, leaves, features)).collect();
    Parts {
        features,
        targets: 1,
        trees,
        thresholds: Precision::F32,
        scores: Precision::F32,
        aggregate: Aggregate::Sum,
        base: Vec::new(),
        base_order: BaseOrder::AfterTrees,
        transform: Transform::Logistic,
    }
}

fn boosted_tree(dice: &mut impl Dice, id: usize, leaves: usize, features: usize) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    // Weight of a leaf, and the place that leads to it.
    let mut open: Vec<(f64, Option<(usize, bool)>)> = vec![(1.0, None)];
    while open.len() < leaves {
        let gain = |(weight, _): &(f64, _), noise: usize| weight * (0.1 + noise as f64);
        let noises: Vec<usize> = open.iter().map(|_| dice.roll(1000)).collect();
        let best = (0..open.len())
            .max_by(|a, b| gain(&open[*a], noises[*a]).total_cmp(&gain(&open[*b], noises[*b])))
            .expect("a leaf");
        let (weight, place) = open.swap_remove(best);
        let bin = dice.roll(255);
        let threshold = f64::from((bin as f32 - 127.0) / 64.0);
        let index = nodes.len();
        nodes.push(Node {
            id: index as i64,
            feature: dice.roll(features) as u32,
            test: Test::Compare { comparison: Comparison::AtMost, threshold },
            missing: Missing::Nothing,
            yes: Child::Leaf(0),
            no: Child::Leaf(0),
        });
        match place {
            Some((node, true)) => nodes[node].yes = Child::Node(index as u32),
            Some((node, false)) => nodes[node].no = Child::Node(index as u32),
            None => {}
        }
        let share = (dice.roll(900) + 50) as f64 / 1000.0;
        open.extend([(weight * share, Some((index, true))), (weight * (1.0 - share), Some((index, false)))]);
    }
    let mut ends = Vec::new();
    for (_, place) in open {
        let leaf = Child::Leaf(ends.len() as u32);
        match place {
            Some((node, true)) => nodes[node].yes = leaf,
            Some((node, false)) => nodes[node].no = leaf,
            None => {}
        }
        let value = f64::from((dice.roll(2001) as f32 - 1000.0) / 9973.0);
        ends.push(Leaf { votes: vec![Vote { target: 0, value: Value::Constant(value) }] });
    }
    let root = if nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    Tree { id: id as i64, root, nodes, leaves: ends, weight: 1.0 }
}
