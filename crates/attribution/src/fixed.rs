//! Base-two logarithms in fixed point, from integers alone.

/// Fraction bits of the results: 16, so one unit is 2^-16 bit.
pub const LOG2_FRACTION_BITS: u32 = 16;

/// Floor of `log2(value)` in Q16: 16 whole bits above 16 fraction bits.
///
/// The mantissa is normalised to 1 <= m < 2 in Q63 and squared once per fraction bit, keeping the top
/// 64 bits each time. The result is at most one unit below the exact floor, and the same on every machine.
///
/// Returns `None` for zero, whose logarithm does not exist.
pub fn log2_q16(value: u64) -> Option<u32> {
    let whole = value.checked_ilog2()?;
    let mut mantissa = value << (63 - whole);
    let mut fraction = 0;
    for _ in 0..LOG2_FRACTION_BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carried = square >> 64 != 0;
        fraction = (fraction << 1) | u32::from(carried);
        mantissa = if carried { square >> 1 } else { square } as u64;
    }
    Some((whole << LOG2_FRACTION_BITS) | fraction)
}

/// `-log2(count / total)` in Q16: the surprise, in bits, of a token seen `count` times among `total`.
///
/// Returns `None` where `count` is zero or exceeds `total`.
pub fn surprise_q16(count: u64, total: u64) -> Option<u32> {
    if count > total {
        return None;
    }
    log2_q16(total)?.checked_sub(log2_q16(count)?)
}
