use openledger_primitives::{AmountError, Wei};

#[test]
fn amounts_print_in_open_without_trailing_zeros() {
    assert_eq!(Wei::from_open(3).format_open(), "3");
    assert_eq!(Wei(1_050_000_000_000_000_000).format_open(), "1.05");
    assert_eq!(Wei(1).format_open(), "0.000000000000000001");
}

#[test]
fn amounts_parse_back_from_their_text() {
    for wei in [0, 1, 999, 1_050_000_000_000_000_000, 10_u128.pow(27)] {
        assert_eq!(Wei::parse_open(&Wei(wei).format_open()), Ok(Wei(wei)));
        assert_eq!(wei.to_string().parse(), Ok(Wei(wei)));
    }
}

#[test]
fn texts_that_are_no_amounts_are_refused() {
    for text in ["", ".", "-1", "1e3", "1.2.3", "0.0000000000000000001", " 1", "１"] {
        assert!(matches!(Wei::parse_open(text), Err(AmountError::Malformed { .. })), "{text:?}");
    }
    let huge = "9".repeat(40);
    assert_eq!(huge.parse::<Wei>(), Err(AmountError::TooLarge { text: huge }));
}

#[test]
fn amounts_travel_through_json_as_strings() {
    let json = serde_json::to_string(&Wei::from_open(1)).unwrap();
    assert_eq!(json, "\"1000000000000000000\"");
    assert_eq!(serde_json::from_str::<Wei>(&json).unwrap(), Wei::from_open(1));
    assert!(serde_json::from_str::<Wei>("1.5").is_err());
}
