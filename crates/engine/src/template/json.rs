//! JSON as Python's `json.dumps(..., ensure_ascii=False)` writes it, which templates show to models.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::budget::Budget;

const INDENT_MAX: usize = 8;

pub(super) fn python_json(value: &Value, indent: Option<usize>, budget: &Budget) -> Result<String, Error> {
    budget.deep(value)?;
    let mut out = String::new();
    write(value, indent.map(|indent| indent.min(INDENT_MAX)), 0, &mut out)?;
    budget.work(out.len() as u64)?;
    Ok(out)
}

fn write(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            enclosed(('[', ']'), items.len(), indent, depth, out, |index, out| {
                write(&items[index], indent, depth + 1, out)
            })
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            enclosed(('{', '}'), keys.len(), indent, depth, out, |index, out| {
                scalar(&Value::from(keys[index].to_string()), out)?;
                out.push_str(": ");
                write(&value.get_item(&keys[index])?, indent, depth + 1, out)
            })
        }
        _ => scalar(value, out),
    }
}

fn enclosed(
    (open, close): (char, char),
    count: usize,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
    mut item: impl FnMut(usize, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    out.push(open);
    for index in 0..count {
        if index > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        line(out, depth + 1);
        item(index, out)?;
    }
    if count > 0 {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn scalar(value: &Value, out: &mut String) -> Result<(), Error> {
    let text =
        serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    out.push_str(&text);
    Ok(())
}
