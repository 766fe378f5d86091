//! What a recurrent layer does at each place of a sequence.

use super::activation::Activation;
use crate::linear::Weights;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Rnn,
    Gru {
        /// Whether the state is multiplied before it is reset.
        resets_late: bool,
    },
    Lstm {
        /// Whether what is not let in is what is kept.
        is_coupled: bool,
    },
}

impl Cell {
    /// Parts of the weights.
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru { .. } => 3,
            Self::Lstm { .. } => 4,
        }
    }

    /// Functions where none are told.
    pub fn activations(self) -> &'static [Activation] {
        match self {
            Self::Rnn => &[Activation::Tanh],
            Self::Gru { .. } => &[Activation::Sigmoid, Activation::Tanh],
            Self::Lstm { .. } => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        }
    }

    /// Gates whose part of the state's weights is multiplied at first.
    pub fn first_gates(self) -> usize {
        if let Self::Gru { .. } = self { 2 } else { self.gates() }
    }
}

/// Weights of one direction, 64 bits wide.
#[derive(Debug)]
pub(super) struct Matrices {
    pub input: Weights<f64>,
    /// What the state is multiplied by: for the first gates, and for the rest.
    pub state: [Weights<f64>; 2],
}

impl Matrices {
    /// Of `[gates * hidden, size]` and `[gates * hidden, hidden]`.
    pub fn new(cell: Cell, input: &[f64], state: &[f64], size: usize, hidden: usize) -> Self {
        let gates = cell.gates();
        let first = cell.first_gates() * hidden;
        let (early, late) = state.split_at_checked(first * hidden).unwrap_or((state, &[]));
        Self {
            input: Weights::of(input, size, gates * hidden, true),
            state: [Weights::of(early, hidden, first, true), Weights::of(late, hidden, gates * hidden - first, true)],
        }
    }
}

/// One direction of a layer.
pub(super) struct Direction<'a> {
    pub cell: Cell,
    pub hidden: usize,
    pub matrices: &'a Matrices,
    pub activations: &'a [Activation],
    pub clip: Option<f64>,
    /// Bias of the state of a GRU's last gate.
    pub late_bias: &'a [f64],
    /// Weights of a cell for its input, output and forget gates; none if there are none.
    pub peepholes: &'a [f64],
}

impl Direction<'_> {
    fn activation(&self, at: usize, x: f64) -> f64 {
        let clipped = self.clip.map_or(x, |clip| if x.is_nan() { x } else { x.max(-clip).min(clip) });
        self.activations.get(at).map_or(clipped, |activation| activation.of(clipped))
    }

    /// Moves on by one place, of what is known of the gates without the state.
    pub fn step(&self, gates: &mut [f64], state: &mut [f64], cell: &mut [f64]) {
        let first = self.cell.first_gates() * self.hidden;
        let (early, late) = gates.split_at_mut(first.min(gates.len()));
        let [early_weights, late_weights] = &self.matrices.state;
        early_weights.accumulate(state, early);
        match self.cell {
            Cell::Rnn => {
                state.iter_mut().zip(early).for_each(|(state, gate)| *state = self.activation(0, *gate));
            }
            Cell::Gru { resets_late } => {
                let (update, reset) = early.split_at_mut(self.hidden.min(early.len()));
                reset.iter_mut().for_each(|gate| *gate = self.activation(0, *gate));
                if resets_late {
                    let mut multiplied = self.late_bias.to_vec();
                    multiplied.resize(self.hidden, 0.0);
                    late_weights.accumulate(state, &mut multiplied);
                    let parts = reset.iter().zip(&multiplied);
                    late.iter_mut().zip(parts).for_each(|(gate, (reset, part))| *gate += reset * part);
                } else {
                    late.iter_mut().zip(self.late_bias).for_each(|(gate, bias)| *gate += bias);
                    let kept: Vec<f64> = state.iter().zip(reset.iter()).map(|(state, reset)| state * reset).collect();
                    late_weights.accumulate(&kept, late);
                }
                for ((state, update), gate) in state.iter_mut().zip(update).zip(late) {
                    let share = self.activation(0, *update);
                    *state = (1.0 - share) * self.activation(1, *gate) + share * *state;
                }
            }
            Cell::Lstm { is_coupled } => self.lstm(is_coupled, early, state, cell),
        }
    }

    fn lstm(&self, is_coupled: bool, gates: &[f64], state: &mut [f64], cell: &mut [f64]) {
        let gate = |gate: usize, at: usize| gates.get(gate * self.hidden + at).copied().unwrap_or(0.0);
        let peephole = |gate: usize, at: usize| self.peepholes.get(gate * self.hidden + at).copied();
        // Without peepholes a cell that is infinite must not make the gates unknown.
        let seen = |gate: usize, at: usize, cell: f64| peephole(gate, at).map_or(0.0, |weight| weight * cell);
        for (at, (state, cell)) in state.iter_mut().zip(cell).enumerate() {
            let let_in = self.activation(0, gate(0, at) + seen(0, at, *cell));
            let kept = if is_coupled { 1.0 - let_in } else { self.activation(0, gate(2, at) + seen(2, at, *cell)) };
            *cell = kept * *cell + let_in * self.activation(1, gate(3, at));
            let let_out = self.activation(0, gate(1, at) + seen(1, at, *cell));
            *state = let_out * self.activation(2, *cell);
        }
    }
}
