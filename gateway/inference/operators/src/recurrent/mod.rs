//! Recurrent layers: RNN, GRU and LSTM.

mod activation;
mod cell;
mod layer;
mod sides;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "GRU" 1, 3..=6 => 0..=2, layer::build_gru;
    "LSTM" 1, 3..=8 => 0..=3, layer::build_lstm;
    "RNN" 1, 3..=6 => 0..=2, layer::build_rnn;
};
