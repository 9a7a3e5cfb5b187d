//! The body of `POST /api/v2/silences`.

use crate::current::Wish;
use crate::event::SilenceMatcher;
use crate::ingest::Limits;
use crate::ingest::json::{Node, Refusal, parse};
use crate::ingest::time;

/// More than any id has.
const ID_BYTES_MAX: usize = 128;

pub fn read(body: &[u8], limits: &Limits) -> Result<Wish, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    root.object("a silence")?;
    let list = root.required("matchers")?;
    let items = list.items("the matchers")?;
    if items.len() > limits.labels_max {
        let mend = format!("send at most {}", limits.labels_max);
        return Err(list.refuse(format!("{} matchers are too many", items.len()), mend));
    }
    let matchers = items.map(|item| matcher(&item, limits)).collect::<Result<_, _>>()?;
    let id = root.optional_text("id", ID_BYTES_MAX)?;
    root.required("startsAt")?;
    let ends_at_ms = time::optional(&root, "endsAt")?
        .ok_or_else(|| root.refuse("\"endsAt\" is missing or zero", "send when the silence ends"))?;
    Ok(Wish {
        id: id.map(|id| id.to_string()),
        matchers,
        starts_at_ms: time::optional(&root, "startsAt")?,
        ends_at_ms,
        created_by: text(&root, "createdBy", limits.text_bytes_max)?,
        comment: text(&root, "comment", limits.text_bytes_max)?,
    })
}

fn matcher(node: &Node<'_>, limits: &Limits) -> Result<SilenceMatcher, Refusal> {
    node.object("a matcher")?;
    let flag = |name: &str, default| match node.field(name) {
        None => Ok(default),
        Some(flag) => flag.value.as_bool().ok_or_else(|| {
            flag.refuse(format!("expected true or false, found {}", flag.found()), "send a boolean, without quotes")
        }),
    };
    Ok(SilenceMatcher {
        name: text(node, "name", limits.label_name_bytes_max)?,
        value: text(node, "value", limits.label_value_bytes_max)?,
        is_regex: flag("isRegex", false)?,
        is_equal: flag("isEqual", true)?,
    })
}

/// Byte for byte: white space counts in a label's value.
fn text(parent: &Node<'_>, name: &str, max: usize) -> Result<String, Refusal> {
    let node = parent.required(name)?;
    let text = node.string()?;
    if text.len() > max {
        return Err(node.refuse(format!("{} bytes are too long", text.len()), format!("keep it within {max} bytes")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn body() -> Value {
        json!({
            "matchers": [{"name": "a", "value": " x ", "isRegex": false}, {"name": "b", "value": "y", "isRegex": true, "isEqual": false}],
            "startsAt": "2026-11-23T09:00:00.000Z", "endsAt": "2026-11-23T11:00:00+01:00",
            "createdBy": "maria", "comment": "", "id": "",
        })
    }

    fn told(body: &Value) -> Result<Wish, String> {
        read(body.to_string().as_bytes(), &Limits::default()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_silence_is_read_as_amtool_sends_it() {
        let wish = told(&body()).unwrap();
        assert_eq!((wish.id, wish.starts_at_ms, wish.ends_at_ms), (None, Some(1_795_424_400_000), 1_795_428_000_000));
        let matchers: Vec<_> = wish.matchers.iter().map(|m| (&*m.name, &*m.value, m.is_regex, m.is_equal)).collect();
        assert_eq!(matchers, [("a", " x ", false, true), ("b", "y", true, false)]);
        let mut again = body();
        again["id"] = json!("s-1");
        assert_eq!(told(&again).unwrap().id.as_deref(), Some("s-1"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_told_at_its_place() {
        let without = |change: &dyn Fn(&mut Value)| {
            let mut body = body();
            change(&mut body);
            told(&body).unwrap_err()
        };
        for field in ["matchers", "startsAt", "endsAt", "createdBy", "comment"] {
            let said = without(&|body| drop(body.as_object_mut().unwrap().remove(field)));
            assert!(said.contains(field), "{field}: {said}");
        }
        assert!(without(&|body| body["matchers"][1]["isEqual"] = json!("yes")).starts_with("$.matchers[1].isEqual: "));
        assert!(without(&|body| body["matchers"][0]["value"] = json!(5)).starts_with("$.matchers[0].value: "));
        assert!(without(&|body| body["comment"] = json!("x".repeat(5_000))).contains("keep it within 2048 bytes"));
        let many = json!(vec![body()["matchers"][0].clone(); 65]);
        assert!(without(&|body| body["matchers"] = many.clone()).contains("65 matchers are too many"));
        assert!(read(b"", &Limits::default()).is_err() && read(b"[]", &Limits::default()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, &Limits::default());
        }

        #[test]
        fn a_field_of_any_shape_is_read_or_refused(at in 0..6_usize, other in prop_oneof![
            Just(json!(null)), Just(json!([])), Just(json!({})), Just(json!(-1)), Just(json!("9999-99-99")), Just(json!([[], null, 7]))
        ]) {
            let mut body = body();
            let name = body.as_object().unwrap().keys().nth(at).unwrap().clone();
            body[&name] = other;
            let _ = told(&body);
        }
    }
}
