//! The command line of fairlead: parse arguments, wire, exit code; no logic.

fn main() {}
