//! What the figures of trees have to reach.

use crate::manifest::Trees;
use crate::names;
use crate::report::{Group, Measured};

/// One row, many rows: so many times as fast as ONNX Runtime.
const TO_ONNX_RUNTIME: [f64; 2] = [5.0, 3.0];
/// One row of 300 trees, in nanoseconds.
const ROW_OF_300: f64 = 2000.0;
/// Loading 1000 trees, to what lleaves takes to compile them.
const LOAD_OF_1000: f64 = 0.5;

/// Prints each target with what was seen, and notes those that were missed.
pub fn check(trees: &Trees, group: &Group, failures: &mut Vec<String>) {
    let find = |name: &str| group.contenders.iter().find(|it| it.name == name);
    let (Some(called), Some(seam), Some(onnx_runtime)) =
        (find(names::CALLED), find(names::SEAM), find(names::ONNX_RUNTIME))
    else {
        return;
    };
    let mut say = |what: String, is_met: bool| {
        println!("- {}: {what}", if is_met { "met" } else { "MISSED" });
        if !is_met {
            failures.push(format!("{}: {what}", group.title));
        }
    };
    println!();
    for (at, (name, least)) in ["one row", "many rows"].into_iter().zip(TO_ONNX_RUNTIME).enumerate() {
        for ours in [Some(seam), find(names::SEAM_ONNX)].into_iter().flatten() {
            let seen = onnx_runtime.to(ours, at);
            say(
                format!("{name}, {}: {seen:.1} times as fast as ONNX Runtime, {least} wanted", ours.name),
                seen >= least,
            );
        }
    }
    let is_peer = |it: &&Measured| {
        let compiled = it.name.starts_with("lleaves") || it.name.starts_with("tl2cgen");
        compiled || it.name.ends_with(names::ITS_OWN)
    };
    for peer in group.contenders.iter().filter(is_peer) {
        let (through, alone) = (peer.to(seam, 0), peer.to(called, 0));
        say(
            format!("one row: {} takes {alone:.2} times as long ({through:.2} to the session)", peer.name),
            alone > 1.0,
        );
    }
    if trees.trees == 300 {
        let seen = called.time(0, 0.5);
        say(
            format!(
                "one row: {:.2} us called, {:.2} us by the session; 2 us at most",
                seen / 1e3,
                seam.time(0, 0.5) / 1e3
            ),
            seen <= ROW_OF_300,
        );
    }
    if let Some(lleaves) = find("lleaves").and_then(|it| it.compile).filter(|_| trees.trees == 1000) {
        let share = seam.load / lleaves;
        say(
            format!("loads in {share:.4} of the time that lleaves compiles for; {LOAD_OF_1000} at most"),
            share <= LOAD_OF_1000,
        );
    }
}
