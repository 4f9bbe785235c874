//! Measurements of arms and control in, verdicts with intervals out. Pure.
