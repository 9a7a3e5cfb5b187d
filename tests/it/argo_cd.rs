//! The template for Argo CD's notifications: rendered with a recorded Application it is what the endpoints take.
//!
//! Argo CD renders Go's templates with sprig's functions. Here is so much of both as the template uses; the recorded cases
//! `cases/ingest/argo_cd_*.json` were rendered by Go itself, and what is rendered here is compared with them.

use std::collections::BTreeMap;
use std::path::Path;

use fairlead::ingest::templates::ARGO_CD;
use serde_json::{Value, json};

fn recorded(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases").join(path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The body of one of its templates.
fn body_of(template: &str) -> String {
    #[derive(serde::Deserialize)]
    struct ConfigMap {
        data: BTreeMap<String, String>,
    }
    #[derive(serde::Deserialize)]
    struct Template {
        webhook: BTreeMap<String, BTreeMap<String, String>>,
    }
    let map: ConfigMap = serde_saphyr::from_str(ARGO_CD).unwrap();
    let template: Template = serde_saphyr::from_str(&map.data[&format!("template.{template}")]).unwrap();
    let webhook = template.webhook.into_values().next().expect("a webhook");
    webhook["body"].clone()
}

fn render(template: &str, application: &Value) -> Value {
    let mut variables = BTreeMap::from([(String::new(), json!({ "app": application }))]);
    let body = body_of(template);
    let mut parts = body.split("{{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (action, after) = part.split_once("}}").expect("an action ends");
        let action = action.trim_start_matches('-').trim();
        match action.split_once(":=") {
            Some((name, expression)) => {
                let value = evaluate(expression, &variables);
                variables.insert(name.trim().trim_start_matches('$').to_owned(), value);
            }
            None => text += evaluate(action, &variables).as_str().expect("text is written"),
        }
        text += after;
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

type Variables = BTreeMap<String, Value>;

/// `a b | c d`: what stands left of a bar is the last argument of what stands right of it.
fn evaluate(pipeline: &str, variables: &Variables) -> Value {
    let words = words(pipeline);
    let mut stages = words.split(|word| word == "|");
    let first = stages.next().expect("something to evaluate");
    stages.fold(call(first, None, variables), |value, stage| call(stage, Some(value), variables))
}

/// Words, texts in quotes, and what is in brackets as one word.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for c in text.trim().chars() {
        quoted ^= c == '"';
        depth += i32::from(!quoted && c == '(') - i32::from(!quoted && c == ')');
        if c == ' ' && !quoted && depth == 0 {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(c);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn call(words: &[String], last: Option<Value>, variables: &Variables) -> Value {
    let mut arguments: Vec<Value> = words[1..].iter().map(|word| argument(word, variables)).collect();
    arguments.extend(last);
    let text = |at: usize| arguments[at].as_str().expect("a text").to_owned();
    match &*words[0] {
        "printf" => arguments[1..]
            .iter()
            .fold(text(0), |format, value| format.replacen("%s", value.as_str().unwrap(), 1))
            .into(),
        "dig" => {
            let [path @ .., default, within] = &arguments[..] else { panic!("dig takes a path, a default and a map") };
            let found = path.iter().try_fold(within, |value, name| value.get(name.as_str().unwrap()));
            found.unwrap_or(default).clone()
        }
        "join" => {
            let items: Vec<_> = arguments[1].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect();
            items.join(&text(0)).into()
        }
        "regexFind" => {
            let regex = regex_lite::Regex::new(&text(0)).unwrap();
            let within = text(1);
            regex.find(&within).map_or("", |found| found.as_str()).into()
        }
        "default" if arguments[1] == "" => arguments[0].clone(),
        "default" => arguments[1].clone(),
        "replace" => text(2).replace(&text(0), &text(1)).into(),
        "toJson" => arguments[0].to_string().into(),
        word if words.len() == 1 => argument(word, variables),
        other => panic!("the template uses {other}, which is not known here"),
    }
}

fn argument(word: &str, variables: &Variables) -> Value {
    if let Some(inner) = word.strip_prefix('(') {
        return evaluate(inner.strip_suffix(')').expect("brackets close"), variables);
    }
    if let Some(text) = word.strip_prefix('"') {
        return text.strip_suffix('"').expect("quotes close").into();
    }
    if word == "list" {
        return json!([]);
    }
    let (name, path) = word.split_once('.').unwrap_or((word, ""));
    let value = variables.get(name.trim_start_matches('$')).unwrap_or_else(|| panic!("no variable {word}"));
    let found = path.split('.').filter(|step| !step.is_empty()).try_fold(value, |value, step| value.get(step));
    found.unwrap_or_else(|| panic!("no {word}")).clone()
}

#[test]
fn what_it_renders_is_what_go_renders_and_the_endpoints_take() {
    let application = recorded("argo_cd/application.json");
    for template in ["deployed", "running", "failed"] {
        // Each of these is read into its fact by `ingest_formats`.
        let case = recorded(&format!("ingest/argo_cd_{template}.json"));
        assert_eq!(render(&format!("fairlead-{template}"), &application), case["body"], "{template}");
    }
}

#[test]
fn without_labels_and_images_it_falls_back_to_names() {
    let mut application = recorded("argo_cd/application.json");
    application["metadata"].as_object_mut().unwrap().remove("labels");
    application["status"].as_object_mut().unwrap().remove("summary");
    application["spec"]["destination"] = json!({"name": "eu-prod", "namespace": "shop"});
    let subject = &render("fairlead-deployed", &application)["data"]["subject"];
    assert_eq!(subject["id"], "checkout-production");
    assert_eq!(subject["content"]["environment"]["id"], "eu-prod");
    let version = "pkg:oci/checkout-production@5f0c2a91d7be8f0fcc58a9a2d6c842781e32a215";
    assert_eq!(subject["content"]["artifactId"], version);
}
