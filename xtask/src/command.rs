//! One file per task.

pub mod bench;
pub mod check;
pub mod dist;
pub mod guests;
pub mod run;
pub mod test;
