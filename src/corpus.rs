//! Natural text: read from files or made by the built-in world, split once by hash, in an order that no file order
//! can change.
pub mod world;
