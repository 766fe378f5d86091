//! Tables of what was measured.

use serde::Serialize;

use crate::SIZES;
use crate::measure::{Turn, quantile};

/// A model with all that ran it.
#[derive(Serialize)]
pub struct Group {
    pub title: String,
    /// What else is to be said of it.
    pub note: String,
    pub contenders: Vec<Measured>,
}

#[derive(Serialize)]
pub struct Measured {
    pub name: String,
    /// Seconds of processor time: what is made before it is deployed, and what is made when it is loaded (median).
    pub compile: Option<f64>,
    pub load: f64,
    /// Largest difference from the scores of the first.
    pub difference: f64,
    /// By sizes of batches, as in [`SIZES`].
    pub turns: Vec<Vec<Turn>>,
}

impl Measured {
    /// Nanoseconds of a call at this share of the rounds.
    pub fn time(&self, size: usize, share: f64) -> f64 {
        quantile(&self.turns[size].iter().map(|turn| turn.processor).collect::<Vec<_>>(), share)
    }

    /// How many times as long as another it takes: the median over the rounds.
    pub fn to(&self, other: &Self, size: usize) -> f64 {
        let ratios = self.turns[size].iter().zip(&other.turns[size]);
        quantile(&ratios.map(|(own, other)| own.processor / other.processor).collect::<Vec<_>>(), 0.5)
    }
}

/// `bases` are names of contenders; each has a column with the times that others take of its own.
pub fn print(group: &Group, bases: &[&str]) {
    println!("\n### {}\n\n{}\n", group.title, group.note);
    let bases: Vec<&Measured> =
        bases.iter().filter_map(|name| group.contenders.iter().find(|it| it.name == *name)).collect();
    let mut head = vec!["contender".to_owned()];
    for size in SIZES {
        head.push(if size == 1 { "1 row, us (10-90 %)".to_owned() } else { format!("{size} rows, us (10-90 %)") });
        head.extend(bases.iter().map(|base| format!("to {}", base.name)));
    }
    head.extend(["loads in, ms", "compiled before in, s", "differs by"].map(str::to_owned));
    row(&head);
    row(&head.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" }.to_owned()).collect::<Vec<_>>());
    for it in &group.contenders {
        let mut cells = vec![it.name.clone()];
        for size in 0..SIZES.len() {
            let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| digits(it.time(size, share) / 1000.0));
            cells.push(format!("{middle} ({low}-{high})"));
            cells.extend(bases.iter().map(|base| format!("{:.2}x", it.to(base, size))));
        }
        cells.push(digits(it.load * 1000.0));
        cells.push(it.compile.map(digits).unwrap_or_default());
        cells.push(format!("{:.0e}", it.difference));
        row(&cells);
    }
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Three digits that mean something.
fn digits(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}
