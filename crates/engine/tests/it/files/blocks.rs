//! Quantised blocks against the values that gguf's own reader gives.

use openledger_engine::format::DType;

use super::golden_json;

const TYPES: [DType; 11] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q8_0,
    DType::Q4K,
    DType::Q5K,
    DType::Q6K,
];

fn unhex(value: &serde_json::Value) -> Vec<u8> {
    alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn every_type_dequantises_to_the_reference_values_exactly() {
    let golden = golden_json("blocks.json");
    for dtype in TYPES {
        let case = golden.as_array().unwrap().iter().find(|case| case["type"] == dtype.name()).unwrap();
        let bytes = unhex(&case["values"]);
        let expected: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let mut values = vec![0.0; expected.len()];
        dtype.dequantise(&unhex(&case["bytes"]), &mut values);
        assert_eq!(values, expected, "{}", dtype.name());
    }
}

#[test]
fn types_that_are_not_read_are_refused_by_name() {
    assert_eq!(DType::from_ggml(11), Err("Q3_K".to_owned()));
    assert_eq!(DType::from_ggml(39), Err("MXFP4".to_owned()));
    assert_eq!(DType::from_ggml(777), Err("type number 777".to_owned()));
    for dtype in TYPES {
        assert_eq!(DType::from_ggml(dtype.ggml_number()), Ok(dtype));
    }
}
