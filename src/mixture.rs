//! Which documents train a generation. Pure: lengths in, a plan out.
