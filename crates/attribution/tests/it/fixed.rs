use openledger_attribution::fixed::{log2_q16, surprise_q16};
use proptest::prelude::*;

#[test]
fn powers_of_two_are_exact() {
    for exponent in 0..64 {
        assert_eq!(log2_q16(1 << exponent), Some(exponent << 16));
    }
}

#[test]
fn zero_has_no_logarithm_and_a_count_above_its_total_no_surprise() {
    assert_eq!(log2_q16(0), None);
    assert_eq!(surprise_q16(0, 10), None);
    assert_eq!(surprise_q16(11, 10), None);
    assert_eq!(surprise_q16(10, 10), Some(0));
}

proptest! {
    #[test]
    fn agrees_with_the_real_logarithm_to_one_unit(value in 1u64..) {
        let exact = (value as f64).log2() * 65_536.0;
        let ours = f64::from(log2_q16(value).unwrap());
        prop_assert!((exact - ours).abs() <= 1.5, "log2({value}): {ours} against {exact}");
    }

    #[test]
    fn never_falls(value in 1u64..u64::MAX) {
        prop_assert!(log2_q16(value) <= log2_q16(value + 1));
    }
}
