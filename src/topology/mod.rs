//! From YAML to a checked graph, and the pure engine that runs it.
