//! Compares scores with those that `tests/make.py` wrote, of any folder: `cargo run --example compare -- FOLDER`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

#[expect(clippy::print_stdout, clippy::expect_used, reason = "it prints, for who develops this")]
fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = Path::new(&folder);
    for name in support::names(folder) {
        let model = support::model(folder, &name);
        let mut rows = support::Rows::read(folder, &name);
        rows.encode(&model);
        let (scores, raw) = rows.computed(&model);
        let ((many, largest), (many_raw, largest_raw)) =
            (support::difference(&scores, &rows.scores), support::difference(&raw, &rows.raw));
        let count = scores.len();
        println!("{name:32} {count:8}: scores differ {many:6} {largest:.1e}, raw {many_raw:6} {largest_raw:.1e}");
    }
}
