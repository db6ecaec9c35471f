//! Reads the text and the labels from a JSON object, and skips its other fields.

use super::{Token, comma_separated, cut};
use crate::data::lines::Fault;
use crate::data::samples::Policy;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// The names of the fields.
#[derive(Clone, Copy)]
struct Fields<'a> {
    text: &'a [String],
    /// `None` if labels are skipped.
    label: Option<&'a str>,
}

/// The text and the labels of `line`. JSON does not tell where a value stands, so labels get the position of the line's
/// beginning.
pub(super) fn split<'a>(
    line: &'a str,
    text: &[String],
    label: &str,
    policy: Policy,
) -> Result<(Cow<'a, str>, Vec<Token<'a>>), Fault> {
    let mut json = serde_json::Deserializer::from_str(line);
    let wanted = (policy != Policy::Ignore).then_some(label);
    let found = Fields { text, label: wanted }.deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    let (found, labels) = found.map_err(|error| {
        let message = error.to_string();
        Fault::at(error.column().max(1), message.split(" at line ").next().unwrap_or_default())
    })?;
    let texts = text.iter().zip(found).map(|(name, value)| match value {
        Some(Value::String(found)) => Ok(found),
        // One of several may be unknown.
        Some(Value::Null) if text.len() > 1 => Ok(String::new()),
        Some(_) => Err(Fault::at(1, format!("field `{}` is no text", cut(name)))),
        None => Err(Fault::at(1, format!("field `{}` is missing", cut(name)))),
    });
    let found = texts.collect::<Result<Vec<_>, _>>()?.join(" ");
    let labels = match labels {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(list)) => {
            comma_separated(&list, 0).into_iter().map(|label| Token::text(label.text.into_owned(), 1)).collect()
        }
        Some(Value::Array(list)) => list.into_iter().map(|value| one(value, label)).collect::<Result<_, _>>()?,
        Some(value) => vec![one(value, label)?],
    };
    Ok((Cow::Owned(found), labels))
}

fn one(value: Value, field: &str) -> Result<Token<'static>, Fault> {
    match value {
        Value::String(name) => Ok(Token::text(name, 1)),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            Ok(Token { number: true, ..Token::text(number.to_string(), 1) })
        }
        value => {
            let message = format!("field `{}` holds {}, which is no label", cut(field), cut(&value.to_string()));
            Err(Fault::at(1, message))
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Text(usize),
    Label,
    Other,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = (Vec<Option<Value>>, Option<Value>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(Object(self))
    }
}

struct Object<'a>(Fields<'a>);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = (Vec<Option<Value>>, Option<Value>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut text, mut label) = (vec![None; self.0.text.len()], None);
        while let Some(which) = map.next_key_seed(Name(self.0))? {
            match which {
                Which::Text(at) => text[at] = Some(map.next_value()?),
                Which::Label => label = Some(map.next_value()?),
                Which::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((text, label))
    }
}

struct Name<'a>(Fields<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Which;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Which, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Which;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Which, E> {
        let text = self.0.text.iter().position(|text| text == name);
        Ok(match text {
            Some(at) => Which::Text(at),
            None if Some(name) == self.0.label => Which::Label,
            None => Which::Other,
        })
    }
}
