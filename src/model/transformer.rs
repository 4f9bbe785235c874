//! A small Llama on candle.
