//! Interpolated Kneser–Ney.
