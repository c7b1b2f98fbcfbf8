use openledger_primitives::canonical_json::{CanonicalJsonError, INTEGER_MAX, NESTING_MAX, to_vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn canonical(value: &Value) -> String {
    String::from_utf8(to_vec(value).unwrap()).unwrap()
}

#[test]
fn keys_sort_by_utf16_code_units_as_in_rfc_8785() {
    let value =
        json!({"\u{20ac}": "e", "\r": "a", "\u{fb33}": "g", "1": "b", "\u{1f600}": "f", "\u{80}": "c", "\u{f6}": "d"});
    let order: String = canonical(&value).chars().filter(char::is_ascii_lowercase).collect();
    // The carriage return is written as the escape \r, whose letter comes first.
    assert_eq!(order, "rabcdefg");
}

#[test]
fn strings_carry_only_the_escapes_json_requires() {
    let value = json!("\u{20ac}$\u{f}\nA'B\"\\\"/\u{7f}");
    assert_eq!(canonical(&value), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\"/\u{7f}\"");
}

#[test]
fn doubles_print_as_ecmascript_prints_them() {
    // From the number samples of RFC 8785, appendix B.
    let samples: [(u64, &str); 11] = [
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x8000_0000_0000_0000, "0"),
    ];
    for (bits, text) in samples {
        assert_eq!(canonical(&json!(f64::from_bits(bits))), text, "{bits:#x}");
    }
}

#[test]
fn numbers_that_readers_would_round_are_refused() {
    assert!(to_vec(&json!(INTEGER_MAX)).is_ok());
    assert!(matches!(to_vec(&json!(INTEGER_MAX + 1)), Err(CanonicalJsonError::Inexact { .. })));
    assert!(matches!(to_vec(&json!(i64::MIN)), Err(CanonicalJsonError::Inexact { .. })));
    assert!(matches!(to_vec(&json!(9_007_199_254_740_994.0)), Err(CanonicalJsonError::Inexact { .. })));
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let nested = |depth: usize| (0..depth).fold(json!(0), |inner, _| json!([inner]));
    assert!(to_vec(&nested(NESTING_MAX)).is_ok());
    assert_eq!(to_vec(&nested(NESTING_MAX + 1)), Err(CanonicalJsonError::TooDeep));
}

proptest! {
    #[test]
    fn canonical_text_reads_back_and_is_stable(text in "\\PC*", double in any::<f64>(), integer in -9_007_199_254_740_991_i64..9_007_199_254_740_991) {
        prop_assume!(!(9e15..1e21).contains(&double.abs()));
        let value = json!({"text": text, "list": [integer, null, true], "double": double});
        let once = to_vec(&value).unwrap();
        let back: Value = serde_json::from_slice(&once).unwrap();
        prop_assert_eq!(to_vec(&back).unwrap(), once);
        if double.is_finite() {
            prop_assert_eq!(back["double"].as_f64().unwrap(), double);
        }
    }
}
