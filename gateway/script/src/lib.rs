//! Runs Lua scripts as stages of a pipeline.
