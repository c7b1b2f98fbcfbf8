//! Canonical JSON (RFC 8785): one byte string for one value.
//!
//! Object keys are sorted by their UTF-16 code units, strings carry only the escapes that JSON requires, numbers
//! are written as ECMAScript writes them. Numbers that an IEEE double cannot hold exactly are refused instead of
//! being rounded: a hash over a silently changed number would be worthless.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is written.
pub const NESTING_MAX: usize = 64;
/// Largest integer magnitude that every JSON reader keeps exactly (2^53 - 1).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalJsonError {
    /// Arrays or objects nested too deeply.
    #[error("value is nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// An integer in a range where a double would round.
    #[error("integer {number} is beyond ±{INTEGER_MAX}, which JSON readers keep exactly; write it as a string")]
    Inexact {
        /// The number as given.
        number: String,
    },
}

/// Writes `value` in canonical form.
///
/// # Errors
/// [`CanonicalJsonError`] for nesting beyond [`NESTING_MAX`] and integers beyond ±[`INTEGER_MAX`].
pub fn to_vec(value: &Value) -> Result<Vec<u8>, CanonicalJsonError> {
    let mut out = Vec::new();
    write_value(value, 0, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
    if depth > NESTING_MAX {
        return Err(CanonicalJsonError::TooDeep);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => write_array(items, depth, out)?,
        Value::Object(entries) => write_object(entries, depth, out)?,
    }
    Ok(())
}

fn write_array(items: &[Value], depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_value(item, depth + 1, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(entries: &Map<String, Value>, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    out.push(b'{');
    for (position, (key, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write_value(value, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", control as u32).as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
    let inexact = || CanonicalJsonError::Inexact { number: number.to_string() };
    let integer = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    let text = match (integer, number.as_f64()) {
        (Some(magnitude), _) if magnitude <= INTEGER_MAX => number.to_string(),
        (None, Some(double)) if !prints_as_large_integer(double) => ecmascript_double(double),
        _ => return Err(inexact()),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// True for doubles that ECMAScript writes as plain digits beyond [`INTEGER_MAX`]: read back, they are integers
/// that this module refuses.
fn prints_as_large_integer(double: f64) -> bool {
    const EXPONENT_FORM_FROM: f64 = 1e21;
    (INTEGER_MAX as f64) < double.abs() && double.abs() < EXPONENT_FORM_FROM
}

/// Writes a finite double as ECMAScript's `Number.prototype.toString` does (shortest digits that read back).
fn ecmascript_double(double: f64) -> String {
    if double == 0.0 {
        return "0".to_owned();
    }
    let sign = if double < 0.0 { "-" } else { "" };
    // `{:e}` gives the shortest digits that read back, as d.ddde±x.
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    format!("{sign}{}", place_point(&digits, exponent + 1))
}

/// Places the decimal point of `0.digits × 10^point` as ECMA-262, Number::toString, steps 6 to 10, say.
fn place_point(digits: &str, point: i32) -> String {
    let count = digits.len() as i32;
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if (count..=21).contains(&point) {
        return format!("{digits}{}", zeros(point - count));
    }
    if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(point as usize);
        return format!("{whole}.{fraction}");
    }
    if (-5..=0).contains(&point) {
        return format!("0.{}{digits}", zeros(-point));
    }
    let (first, rest) = digits.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    format!("{first}{dot}{rest}e{:+}", point - 1)
}
