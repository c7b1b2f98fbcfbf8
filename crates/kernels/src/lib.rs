//! SIMD arithmetic with one defined result on every machine.
