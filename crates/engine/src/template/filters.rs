//! The filters, tests and functions that a chat template may use.

use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, filters, functions, tests};

use super::budget::Budget;
use super::json;

/// Charges operands for their outsides and hands them back.
pub(super) const CHARGE_SHALLOW: &str = "__charge_shallow";
/// Charges operands for everything inside them.
pub(super) const CHARGE_DEEP: &str = "__charge_deep";
/// Charges operands that are taken apart into elements.
pub(super) const CHARGE_ELEMENTS: &str = "__charge_elements";
/// Charges operands that are about to be put into another value.
pub(super) const CHARGE_STORE: &str = "__charge_store";
/// Charges a value that is about to be assigned to a namespace's attribute.
pub(super) const CHARGE_ASSIGN: &str = "__charge_assign";
/// Charges the operands of a multiplication for its result.
pub(super) const CHARGE_REPEAT: &str = "__charge_repeat";
/// Charges a slice and makes a list of it.
pub(super) const MAKE_LIST: &str = "__make_list";

/// Charges one operand.
type ChargeOne = fn(&Budget, &Value) -> Result<(), Error>;

/// Whether a filter looks inside the elements of what it is given.
pub(super) fn handles_all(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "join",
        "string",
        "tojson",
        "sort",
        "unique",
        "map",
        "select",
        "selectattr",
        "reject",
        "rejectattr",
        "min",
        "max",
    ];
    NAMES.contains(&name)
}

pub(super) fn install(environment: &mut Environment<'static>, budget: &Arc<Budget>) {
    install_charges(environment, budget);
    install_text_filters(environment, budget);
    install_list_filters(environment);
    install_tests(environment);
    environment.add_function("range", functions::range);
    environment.add_function("dict", functions::dict);
    environment.add_function("namespace", functions::namespace);
    let raised = budget.clone();
    environment.add_function("raise_exception", move |message: String| -> Result<Value, Error> {
        raised.raise(message);
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception"))
    });
}

fn install_charges(environment: &mut Environment<'static>, budget: &Arc<Budget>) {
    let charges: [(&'static str, ChargeOne); 4] = [
        (CHARGE_SHALLOW, Budget::shallow),
        (CHARGE_DEEP, Budget::deep),
        (CHARGE_ELEMENTS, Budget::elements),
        (CHARGE_STORE, Budget::storable),
    ];
    for (name, charge) in charges {
        let budget = budget.clone();
        environment.add_filter(name, move |Rest(operands): Rest<Value>| {
            operands.iter().try_for_each(|operand| charge(&budget, operand))?;
            Ok::<_, Error>(hand_back(operands))
        });
    }
    let for_assignment = budget.clone();
    environment.add_filter(CHARGE_ASSIGN, move |value: Value, namespace: Value| {
        for_assignment.storable(&value)?;
        Ok::<_, Error>(hand_back(vec![value, namespace]))
    });
    let for_list = budget.clone();
    environment.add_filter(MAKE_LIST, move |value: Value| make_list(value, &for_list));
    let budget = budget.clone();
    environment.add_filter(CHARGE_REPEAT, move |Rest(operands): Rest<Value>| {
        charge_repeat(&budget, &operands)?;
        Ok::<_, Error>(hand_back(operands))
    });
}

/// The interpreter unpacks a list with its first element on top of the stack; operands lie the other way.
fn hand_back(mut operands: Vec<Value>) -> Value {
    operands.reverse();
    Value::from(operands)
}

/// The interpreter's slice of a list is a view of the list. A slice of a slice of a slice would be read, and dropped, by as
/// many calls within one another as there are slices, which no budget of steps bounds.
fn make_list(value: Value, budget: &Budget) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Iterable => {
            budget.elements(&value)?;
            Ok(value.try_iter()?.collect())
        }
        _ => Ok(value),
    }
}

fn charge_repeat(budget: &Budget, operands: &[Value]) -> Result<(), Error> {
    let length = |value: &Value| value.as_str().map(str::len);
    let count = |value: &Value| value.as_i64().and_then(|count| u64::try_from(count).ok());
    match operands {
        [a, b] => match (length(a).or(length(b)), count(a).or(count(b))) {
            (Some(length), Some(count)) => budget.work(count.saturating_mul(1 + length as u64)),
            _ if a.is_number() && b.is_number() => Ok(()),
            _ => Err(Error::new(ErrorKind::InvalidOperation, "only numbers and strings can be multiplied")),
        },
        _ => Ok(()),
    }
}

/// Writes a value as Python prints it.
pub(super) fn write(out: &mut Output<'_>, value: &Value, budget: &Budget) -> Result<(), Error> {
    let text = match value.kind() {
        ValueKind::Undefined => return Ok(()),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.write(text.len())?;
            return out.write_str(text).map_err(Error::from);
        }
        _ => {
            budget.deep(value)?;
            let mut text = String::new();
            write!(text, "{value}").map_err(Error::from)?;
            text
        }
    };
    budget.write(text.len())?;
    out.write_str(&text).map_err(Error::from)
}

fn install_text_filters(environment: &mut Environment<'static>, budget: &Arc<Budget>) {
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("string", filters::string);
    environment.add_filter("safe", |value: Value| value);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("round", filters::round);
    let for_replace = budget.clone();
    environment
        .add_filter("replace", move |text: String, old: String, new: String| replace(&text, &old, &new, &for_replace));
    let for_join = budget.clone();
    environment.add_filter("join", move |list: Value, separator: Option<String>| {
        join(&list, separator.as_deref().unwrap_or(""), &for_join)
    });
    let for_json = budget.clone();
    environment.add_filter("tojson", move |value: Value, options: Kwargs| -> Result<String, Error> {
        let indent: Option<usize> = options.get("indent")?;
        let _: Option<Value> = options.get("ensure_ascii")?;
        options.assert_all_used()?;
        json::python_json(&value, indent, &for_json)
    });
}

fn install_list_filters(environment: &mut Environment<'static>) {
    environment.add_filter("length", filters::length);
    environment.add_filter("count", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("list", filters::list);
    environment.add_filter("items", filters::items);
    environment.add_filter("dictsort", filters::dictsort);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("map", filters::map);
    environment.add_filter("select", filters::select);
    environment.add_filter("selectattr", filters::selectattr);
    environment.add_filter("reject", filters::reject);
    environment.add_filter("rejectattr", filters::rejectattr);
    environment.add_filter("min", filters::min);
    environment.add_filter("max", filters::max);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
}

fn install_tests(environment: &mut Environment<'static>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("string", tests::is_string);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("iterable", tests::is_iterable);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("divisibleby", tests::is_divisibleby);
    environment.add_test("eq", tests::is_eq);
    environment.add_test("equalto", tests::is_eq);
    environment.add_test("ne", tests::is_ne);
    environment.add_test("in", |state: &State<'_, '_>, value: &Value, list: &Value| tests::is_in(state, value, list));
}

/// `str.replace` of Python, charged for its result.
pub(super) fn replace(text: &str, old: &str, new: &str, budget: &Budget) -> Result<String, Error> {
    let count = text.matches(old).count() as u64;
    budget.work(text.len() as u64 + count.saturating_mul(1 + new.len() as u64))?;
    Ok(text.replace(old, new))
}

/// `str.join` of Python, charged for its result.
pub(super) fn join(list: &Value, separator: &str, budget: &Budget) -> Result<String, Error> {
    budget.deep(list)?;
    let mut out = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            budget.work(separator.len() as u64)?;
            out.push_str(separator);
        }
        write!(out, "{item}").map_err(Error::from)?;
    }
    Ok(out)
}
