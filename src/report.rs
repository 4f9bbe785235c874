//! Figures and a page out of what is on record: computes nothing new.
