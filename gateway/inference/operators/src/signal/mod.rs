//! Operators of signals: spectra, and what they are made with.

mod fourier;
mod frames;
mod mel;
mod spectrum;
mod window;

use crate::operator::{Definition, define};
use window::Shape;

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "BlackmanWindow" 17, 1..=1 => 1..=1, |setup| window::build(setup, Shape::Blackman);
    "DFT" 17, 1..=2 => 1..=1, spectrum::build;
    "DFT" 20, 1..=3 => 1..=1, spectrum::build;
    "HammingWindow" 17, 1..=1 => 1..=1, |setup| window::build(setup, Shape::Hamming);
    "HannWindow" 17, 1..=1 => 1..=1, |setup| window::build(setup, Shape::Hann);
    "MelWeightMatrix" 17, 5..=5 => 1..=1, mel::build;
    "STFT" 17, 2..=4 => 1..=1, frames::build;
};
