//! Text to token ids and back: learnt from natural text only, then frozen for the whole experiment.
