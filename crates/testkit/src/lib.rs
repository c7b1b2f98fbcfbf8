//! In-process test fixtures: the tiny model and the development network.
