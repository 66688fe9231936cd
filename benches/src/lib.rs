//! Benchmarks against the budgets.
