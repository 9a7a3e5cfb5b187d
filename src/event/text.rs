//! Text and label maps that borrow from the record they were decoded from, so that reading a fact allocates nothing.
//!
//! `Cow<str>` alone does not do it: serde borrows it only as a direct field, never inside `Option` or a map.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use arrayvec::ArrayVec;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'static> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A small map from name to value, sorted by name; up to eight pairs live without an allocation.
#[derive(Clone)]
pub struct Labels<'a>(Pairs<'a>);

type Pair<'a> = (Text<'a>, Text<'a>);

/// Not the `smallvec` crate: it is invariant, and borrowed facts could then not be compared with owned ones.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "living without an allocation is the point")]
enum Pairs<'a> {
    Few(ArrayVec<Pair<'a>, 8>),
    Many(Vec<Pair<'a>>),
}

impl<'a> Pairs<'a> {
    fn push(&mut self, pair: Pair<'a>) {
        match self {
            Pairs::Few(few) if few.is_full() => {
                let mut many: Vec<_> = few.drain(..).collect();
                many.push(pair);
                *self = Pairs::Many(many);
            }
            Pairs::Few(few) => few.push(pair),
            Pairs::Many(many) => many.push(pair),
        }
    }

    fn as_slice(&self) -> &[Pair<'a>] {
        match self {
            Pairs::Few(few) => few,
            Pairs::Many(many) => many,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Pair<'a>] {
        match self {
            Pairs::Few(few) => few,
            Pairs::Many(many) => many,
        }
    }

    fn truncate(&mut self, length: usize) {
        match self {
            Pairs::Few(few) => few.truncate(length),
            Pairs::Many(many) => many.truncate(length),
        }
    }
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Self(Pairs::Few(ArrayVec::new()))
    }
}

impl<'b> PartialEq<Labels<'b>> for Labels<'_> {
    fn eq(&self, other: &Labels<'b>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> Labels<'a> {
    pub fn get(&self, name: &str) -> Option<&str> {
        let pairs = self.0.as_slice();
        let found = pairs.binary_search_by(|(candidate, _)| (**candidate).cmp(name)).ok()?;
        Some(&pairs[found].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.as_slice().iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn len(&self) -> usize {
        self.0.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn into_owned(self) -> Labels<'static> {
        self.0.as_slice().iter().cloned().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    /// With one more pair, unless there is one of this name.
    pub fn or(self, name: impl Into<Text<'a>>, value: impl Into<Text<'a>>) -> Self {
        let name = name.into();
        if self.get(&name).is_some() {
            return self;
        }
        let Self(mut pairs) = self;
        pairs.push((name, value.into()));
        Self::from_pairs(pairs)
    }

    fn from_pairs(mut pairs: Pairs<'a>) -> Self {
        let sorted = pairs.as_mut_slice();
        if !sorted.is_sorted_by(|a, b| a.0 < b.0) {
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            let mut kept = 0;
            for next in 1..sorted.len() {
                kept += usize::from(sorted[next].0 != sorted[kept].0);
                sorted.swap(kept, next);
            }
            pairs.truncate(kept + 1);
        }
        Self(pairs)
    }
}

/// Of two pairs with one name the later one wins.
impl<'a> FromIterator<Pair<'a>> for Labels<'a> {
    fn from_iter<I: IntoIterator<Item = Pair<'a>>>(iterator: I) -> Self {
        let mut pairs = Pairs::Few(ArrayVec::new());
        iterator.into_iter().for_each(|pair| pairs.push(pair));
        Self::from_pairs(pairs)
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Pairs::Few(ArrayVec::new());
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Labels::from_pairs(pairs))
            }
        }
        deserializer.deserialize_map(LabelsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_found_by_name_and_borrow_from_their_source() {
        let json = r#"{"severity":"critical","alertname":"HighLatency"}"#;
        let labels: Labels<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(labels.get("severity"), Some("critical"));
        assert_eq!(labels.get("missing"), None);
        assert_eq!(labels.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["alertname", "severity"]);
        assert!(
            labels
                .0
                .as_slice()
                .iter()
                .all(|(name, value)| { matches!(name.0, Cow::Borrowed(_)) && matches!(value.0, Cow::Borrowed(_)) })
        );
    }

    #[test]
    fn an_optional_text_borrows_too() {
        let text: Option<Text<'_>> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(matches!(text, Some(Text(Cow::Borrowed("plain")))));
    }

    #[test]
    fn one_more_pair_does_not_replace_another() {
        let labels = Labels::default().or("b", "1").or("a", "2").or("b", "3");
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "1")]);
    }

    #[test]
    fn of_two_pairs_with_one_name_the_later_wins_few_or_many() {
        let pairs = [("b", "1"), ("a", "1"), ("b", "2"), ("a", "2"), ("b", "3")];
        let labels: Labels<'_> = pairs.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        let many: Labels<'_> =
            (0..40).rev().map(|n| (format!("{:02}", n % 20).into(), format!("{n}").into())).collect();
        assert_eq!((many.len(), many.get("03")), (20, Some("3")));
    }
}
