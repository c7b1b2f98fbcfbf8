//! The methods of Python's strings and dictionaries that chat templates call.

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value, filters};

use super::budget::Budget;
use super::filters::{join, replace};

pub(super) fn call(
    _state: &State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
    budget: &Budget,
) -> Result<Value, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => text_method(text, name, arguments, budget),
        (None, ValueKind::Map) => map_method(value, name, arguments),
        _ => Err(unknown(value, name)),
    }
}

fn text_method(text: &str, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Error> {
    match name {
        "strip" | "lstrip" | "rstrip" => strip(text, name, arguments),
        "startswith" => Ok(affix(arguments, |affix| text.starts_with(affix))?.into()),
        "endswith" => Ok(affix(arguments, |affix| text.ends_with(affix))?.into()),
        "removeprefix" => Ok(one(arguments).map(|affix| text.strip_prefix(affix).unwrap_or(text))?.into()),
        "removesuffix" => Ok(one(arguments).map(|affix| text.strip_suffix(affix).unwrap_or(text))?.into()),
        "find" => Ok(find(text, one(arguments)?).into()),
        "count" => Ok(text.matches(one(arguments)?).count().into()),
        "join" => {
            let (list,): (&Value,) = from_args(arguments)?;
            Ok(join(list, text, budget)?.into())
        }
        "replace" => {
            let (old, new): (&str, &str) = from_args(arguments)?;
            Ok(replace(text, old, new, budget)?.into())
        }
        "split" => {
            let (separator, parts_max): (Option<std::sync::Arc<str>>, Option<i64>) = from_args(arguments)?;
            filters::split(&Value::from(text), separator, parts_max)?.try_iter().map(Iterator::collect)
        }
        _ => plain_text_method(text, name, arguments),
    }
}

fn plain_text_method(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let () = from_args(arguments)?;
    let all = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    Ok(match name {
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "title" => filters::title(text.into()).into(),
        "capitalize" => capitalize(text).into(),
        "splitlines" => text.lines().map(Value::from).collect(),
        "isdigit" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        _ => return Err(unknown(&Value::from(""), name)),
    })
}

fn map_method(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if name == "get" {
        let (key, default): (&Value, Option<Value>) = from_args(arguments)?;
        let found = value.get_item(key)?;
        return Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found });
    }
    let () = from_args(arguments)?;
    let keys = || value.try_iter();
    Ok(match name {
        "keys" => keys()?.collect(),
        "values" => keys()?.map(|key| value.get_item(&key)).collect::<Result<Vec<_>, _>>()?.into(),
        "items" => keys()?
            .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
            .collect::<Result<Vec<_>, Error>>()?
            .into(),
        _ => return Err(unknown(value, name)),
    })
}

fn strip(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    const CHARACTERS_MAX: usize = 64;
    let (characters,): (Option<&str>,) = from_args(arguments)?;
    let listed: Option<Vec<char>> = characters.map(|list| list.chars().take(CHARACTERS_MAX).collect());
    let stripped = |c: char| listed.as_ref().map_or(c.is_whitespace(), |list| list.contains(&c));
    Ok(Value::from(match name {
        "lstrip" => text.trim_start_matches(stripped),
        "rstrip" => text.trim_end_matches(stripped),
        _ => text.trim_matches(stripped),
    }))
}

/// Whether a string, or any of a list of strings, satisfies `test`.
fn affix(arguments: &[Value], test: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let (affix,): (&Value,) = from_args(arguments)?;
    if let Some(affix) = affix.as_str() {
        return Ok(test(affix));
    }
    Ok(affix.try_iter()?.any(|affix| affix.as_str().is_some_and(&test)))
}

fn one(arguments: &[Value]) -> Result<&str, Error> {
    let (argument,): (&str,) = from_args(arguments)?;
    Ok(argument)
}

/// Python counts characters.
fn find(text: &str, what: &str) -> i64 {
    text.find(what).map_or(-1, |at| text[..at].chars().count() as i64)
}

fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters.flat_map(char::to_lowercase)).collect()
}

fn unknown(value: &Value, name: &str) -> Error {
    let detail = format!("{} has no method {name} here", value.kind());
    Error::new(ErrorKind::UnknownMethod, detail)
}
