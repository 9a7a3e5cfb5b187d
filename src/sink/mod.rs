//! From topics to the outside: what fairlead has decided is told where people are.

pub mod runner;
pub mod slack;
