//! The embedded schema registry over HTTP: the same conversation with it and with Apicurio Registry, and what a crash leaves.

use crate::harness::apache::unique;
use crate::harness::disk::SmallDisk;
use crate::harness::registry::{CONTENT_TYPE, Client, apicurio, start};
use fairlead::embedded::registry::{Error, Registry, RegistryConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// One request and what must come back. A `$name` in a path or an expected value is bound where it is first expected, and
/// must be the same from then on: ids are nobody's business but the registry's.
struct Step {
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    status: u16,
    /// Fields that the answer must have, or all of it when it is no object.
    answer: Value,
    /// Where Apicurio answers otherwise: its status, and why ours differs.
    apicurio: Option<(u16, &'static str)>,
}

fn step(method: &'static str, path: &'static str, body: Option<Value>, status: u16, answer: Value) -> Step {
    Step { method, path, body, status, answer, apicurio: None }
}

fn get(path: &'static str, status: u16, answer: Value) -> Step {
    step("GET", path, None, status, answer)
}

fn post(path: &'static str, schema: &str, status: u16, answer: Value) -> Step {
    step("POST", path, Some(json!({ "schema": schema })), status, answer)
}

fn put(path: &'static str, body: Value, status: u16, answer: Value) -> Step {
    step("PUT", path, Some(body), status, answer)
}

fn delete(path: &'static str, status: u16, answer: Value) -> Step {
    step("DELETE", path, None, status, answer)
}

fn code(code: u32) -> Value {
    json!({ "error_code": code })
}

impl Step {
    fn but_apicurio(mut self, status: u16, why: &'static str) -> Step {
        self.apicurio = Some((status, why));
        self
    }

    fn run(&self, client: &Client, names: &mut BTreeMap<String, Value>, is_apicurio: bool) {
        let mut path = self.path.to_owned();
        for (name, value) in names.iter() {
            path = path.replace(name, &value.to_string().replace('"', ""));
        }
        let (status, answer) = client.call(self.method, &path, self.body.as_ref()).expect("an answer");
        let told = format!("{} {path} answered {status} {answer}", self.method);
        match self.apicurio.filter(|_| is_apicurio) {
            Some((other, why)) => assert_eq!(status, other, "{told}, though {why}"),
            None => {
                assert_eq!(status, self.status, "{told}");
                agree(&self.answer, &answer, names).unwrap_or_else(|why| panic!("{told}: {why}"));
            }
        }
    }
}

fn agree(expected: &Value, found: &Value, names: &mut BTreeMap<String, Value>) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(fields), found) => {
            fields.iter().try_for_each(|(name, value)| match (name.as_str(), &found[name]) {
                ("schema", Value::String(text)) => {
                    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
                    let same = parse(text) == value.as_str().and_then(parse);
                    if same { Ok(()) } else { Err(format!("another schema than {value}")) }
                }
                (_, found) => agree(value, found, names),
            })
        }
        (Value::Array(items), Value::Array(found)) if items.len() == found.len() => {
            items.iter().zip(found).try_for_each(|(item, found)| agree(item, found, names))
        }
        (Value::String(name), found) if name.starts_with('$') => {
            let bound = names.entry(name.clone()).or_insert_with(|| found.clone());
            if bound == found { Ok(()) } else { Err(format!("{name} was {bound}")) }
        }
        (expected, found) if expected == found => Ok(()),
        (expected, _) => Err(format!("expected {expected}")),
    }
}

const ONE: &str = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"}]}"#;
const TWO: &str =
    r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"},{"name":"g","type":"int","default":0}]}"#;
/// Cannot read what ONE or TWO wrote.
const BAD: &str = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"},{"name":"h","type":"int"}]}"#;

const SUBJECT: &str = "/subjects/$s";
const VERSIONS: &str = "/subjects/$s/versions";

fn register_and_look_up() -> Vec<Step> {
    vec![
        get(VERSIONS, 404, code(40401)),
        get("/subjects/$s/versions/latest", 404, code(40401)),
        post(SUBJECT, ONE, 404, code(40401)),
        put("/config", json!({ "compatibility": "BACKWARD" }), 200, json!({ "compatibility": "BACKWARD" })),
        get("/config", 200, json!({ "compatibilityLevel": "BACKWARD" })),
        // Registering.
        post(VERSIONS, ONE, 200, json!({ "id": "$one" })),
        post(VERSIONS, ONE, 200, json!({ "id": "$one" })),
        post("/subjects/$s-other/versions", ONE, 200, json!({ "id": "$one" })),
        post(VERSIONS, TWO, 200, json!({ "id": "$two" })),
        post(VERSIONS, BAD, 409, code(40901)).but_apicurio(409, "its error code is 409"),
        post(VERSIONS, "{", 422, code(42201)),
        step("POST", VERSIONS, Some(json!({})), 422, code(42201)).but_apicurio(500, "it does not expect that"),
        step(
            "POST",
            VERSIONS,
            Some(json!({ "schema": ONE, "schemaType": "AVRO", "references": [] })),
            200,
            json!({ "id": "$one" }),
        ),
        // Looking up.
        post(SUBJECT, ONE, 200, json!({ "subject": "$s", "version": 1, "id": "$one", "schema": ONE })),
        post("/subjects/$s?normalize=False&deleted=False", TWO, 200, json!({ "version": 2, "id": "$two" })),
        post(SUBJECT, BAD, 404, code(40403)),
        get("/schemas/ids/$one", 200, json!({ "schema": ONE })),
        get("/schemas/ids/$two?deleted=true", 200, json!({ "schema": TWO })),
        get("/schemas/ids/$two?fetchMaxId=false&subject=$s", 200, json!({ "schema": TWO })),
        get("/schemas/ids/999999", 404, code(40403)),
        get("/schemas/ids/$two/versions", 200, json!([{ "subject": "$s", "version": 2 }])),
        get("/schemas/ids/$two/subjects", 200, json!(["$s"])).but_apicurio(404, "it has no such resource"),
        get("/schemas/types", 200, json!(["AVRO"])).but_apicurio(200, "it knows more types"),
        get(VERSIONS, 200, json!([1, 2])),
        get("/subjects/$s/versions/1", 200, json!({ "subject": "$s", "version": 1, "id": "$one", "schema": ONE })),
        get("/subjects/$s/versions/latest", 200, json!({ "version": 2, "id": "$two" })),
        get("/subjects/$s/versions/-1", 200, json!({ "version": 2, "id": "$two" })),
        get("/subjects/$s/versions/9", 404, code(40402)),
        get("/subjects/$s/versions/0", 422, code(42202)).but_apicurio(404, "it takes any word for a version"),
        get("/subjects/$s/versions/2/schema", 200, serde_json::from_str(TWO).expect("JSON")),
    ]
}

fn check_configure_and_delete() -> Vec<Step> {
    vec![
        // Asking before registering.
        post("/compatibility/subjects/$s/versions/latest", BAD, 200, json!({ "is_compatible": false })),
        post("/compatibility/subjects/$s/versions/latest?verbose=true", BAD, 200, json!({ "is_compatible": false })),
        post("/compatibility/subjects/$s/versions/1", TWO, 200, json!({ "is_compatible": true })),
        post("/compatibility/subjects/$s/versions", TWO, 200, json!({ "is_compatible": true })),
        post("/compatibility/subjects/$s/versions/9", TWO, 404, code(40402)),
        post("/compatibility/subjects/$s/versions/latest", "{", 422, code(42201)),
        post("/compatibility/subjects/$s-none/versions/latest", TWO, 404, code(40401))
            .but_apicurio(404, "its code is 40402"),
        // A level of the subject's own.
        get("/config/$s", 404, code(40408))
            .but_apicurio(200, "it answers NONE for a subject without a level of its own"),
        put("/config/$s", json!({ "compatibility": "SIDEWAYS" }), 422, code(42203))
            .but_apicurio(400, "it fails to read that"),
        put("/config/$s", json!({ "compatibility": "FORWARD" }), 200, json!({ "compatibility": "FORWARD" })),
        get("/config/$s", 200, json!({ "compatibilityLevel": "FORWARD" })),
        post("/compatibility/subjects/$s/versions/1", BAD, 200, json!({ "is_compatible": true })),
        delete("/config/$s", 200, json!({ "compatibilityLevel": "FORWARD" }))
            .but_apicurio(200, "it answers with what is left"),
        // Deleting, softly and for good.
        delete("/subjects/$s/versions/1?permanent=true", 404, code(40407))
            .but_apicurio(409, "it takes that for a conflict"),
        delete("/subjects/$s/versions/1", 200, json!(1)),
        delete("/subjects/$s/versions/1", 404, code(40406)).but_apicurio(409, "it takes that for a conflict"),
        delete("/subjects/$s/versions/9", 404, code(40402)),
        get(VERSIONS, 200, json!([2])),
        get("/subjects/$s/versions?deleted=true", 200, json!([1, 2])),
        get("/subjects/$s/versions/1", 404, code(40402)),
        get("/schemas/ids/$one", 200, json!({ "schema": ONE })),
        delete("/subjects/$s/versions/1?permanent=true", 200, json!(1)),
        get("/subjects/$s/versions?deleted=true", 200, json!([2])),
        delete("/subjects/$s?permanent=true", 404, code(40405)).but_apicurio(409, "it takes that for a conflict"),
        delete(SUBJECT, 200, json!([2])),
        delete(SUBJECT, 404, code(40404)),
        get(VERSIONS, 404, code(40401)),
        post(VERSIONS, TWO, 200, json!({ "id": "$two" })),
        get(VERSIONS, 200, json!([3])),
        delete(SUBJECT, 200, json!([3])),
        delete("/subjects/$s?permanent=true", 200, json!([2, 3])),
        delete("/subjects/$s?permanent=true", 404, code(40401)),
        get("/schemas/ids/$one", 200, json!({ "schema": ONE })), // the other subject has it
        // Names that need escaping.
        post("/subjects/$s%2Fslash%20and%20space/versions", ONE, 200, json!({ "id": "$one" })),
        get("/subjects/$s%2Fslash%20and%20space/versions", 200, json!([1])),
        get("/nowhere", 404, json!({})),
        step("PATCH", "/subjects", None, 405, json!({})),
    ]
}

fn converse(base: &str, is_apicurio: bool) {
    let client = Client::new(base);
    let mut names = BTreeMap::from([("$s".to_owned(), json!(unique("conversation")))]);
    for step in register_and_look_up().into_iter().chain(check_configure_and_delete()) {
        step.run(&client, &mut names, is_apicurio);
    }
}

#[test]
fn it_talks_as_confluents_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = start(dir.path());
    converse(&registry.url(), false);
}

#[test]
fn apicurio_says_the_same() {
    converse(apicurio(), true);
}

#[test]
fn what_only_ours_has_modes_refusals_and_its_content_type() {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = start(dir.path());
    let client = Client::new(&registry.url());
    let versions = "/subjects/$s/versions";
    let mut names = BTreeMap::from([("$s".to_owned(), json!("ours"))]);
    let body = |more: (&str, Value)| Some(json!({ "schema": ONE, more.0: more.1 }));
    let steps = [
        get("/", 200, json!({})),
        get("/mode", 200, json!({ "mode": "READWRITE" })),
        get("/mode/$s", 404, code(40409)),
        put("/mode", json!({ "mode": "IMPORT" }), 422, code(42204)),
        put("/mode", json!({ "mode": "READONLY" }), 200, json!({ "mode": "READONLY" })),
        post(versions, ONE, 422, code(42205)),
        put("/mode/$s", json!({ "mode": "READWRITE" }), 200, json!({ "mode": "READWRITE" })),
        post(versions, ONE, 200, json!({ "id": 1 })),
        delete("/mode/$s", 200, json!({ "mode": "READWRITE" })),
        put("/mode", json!({ "mode": "READWRITE" }), 200, json!({ "mode": "READWRITE" })),
        step("POST", versions, body(("schemaType", json!("PROTOBUF"))), 422, code(42201)),
        step(
            "POST",
            versions,
            body(("references", json!([{ "name": "x", "subject": "y", "version": 1 }]))),
            422,
            code(42201),
        ),
        step("POST", versions, body(("ruleSet", json!({ "domainRules": [] }))), 422, code(42201)),
        step("POST", versions, body(("metadata", Value::Null)), 200, json!({ "id": 1 })),
        step("POST", versions, Some(json!("no object")), 400, code(400)),
        post(versions, &format!("\"{}\"", "x".repeat(600 << 10)), 422, code(42201)),
        post("/subjects/a%0Ab/versions", ONE, 422, code(42208)),
        post("/compatibility/subjects/$s-none/versions", ONE, 200, json!({ "is_compatible": true })),
        get("/config/$s?defaultToGlobal=true", 200, json!({ "compatibilityLevel": "BACKWARD" })),
        delete("/config/$s", 404, code(40401)),
        put("/config", json!({ "compatibility": "FULL" }), 200, json!({ "compatibility": "FULL" })),
        delete("/config", 200, json!({ "compatibilityLevel": "FULL" })),
        get("/config", 200, json!({ "compatibilityLevel": "BACKWARD" })),
        get("/subjects", 200, json!(["ours"])),
        get("/schemas/ids/1?fetchMaxId=true", 200, json!({ "schema": ONE, "maxId": 1 })),
        get("/schemas/ids/one", 404, code(404)),
    ];
    steps.iter().for_each(|step| step.run(&client, &mut names, false));

    // Refused before it is read: a client that is still writing may see the connection close instead of the answer.
    let huge = json!({ "schema": "x".repeat(2 << 20) });
    let answer = Client::new(&registry.url()).call("POST", "/subjects/ours/versions", Some(&huge));
    assert!(answer.as_ref().map_or(true, |(status, _)| *status == 413), "{answer:?}");
    assert_eq!(client.call("GET", "/subjects", None).expect("it serves on"), (200, json!(["ours"])));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for path in ["/subjects", "/subjects/none/versions", "/nowhere"] {
        let response = runtime.block_on(reqwest::get(format!("{}{path}", registry.url()))).expect("an answer");
        assert_eq!(response.headers()["content-type"], CONTENT_TYPE, "{path}");
    }
}

#[test]
fn it_does_not_listen_beyond_this_machine_unless_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = |allow_non_loopback| RegistryConfig {
        data_dir: dir.path().to_owned(),
        listen: "0.0.0.0:0".parse().expect("an address"),
        allow_non_loopback,
    };
    assert!(matches!(Registry::start(config(false)), Err(Error::NotLoopback(_))));
    Registry::start(config(true)).expect("allowed").stop();
}

#[test]
fn a_stopped_registry_starts_again_where_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = start(dir.path());
    let client = Client::new(&registry.url());
    let register = |client: &Client, schema: &str| {
        client.call("POST", "/subjects/a/versions", Some(&json!({ "schema": schema }))).expect("an answer")
    };
    assert_eq!(register(&client, ONE), (200, json!({ "id": 1 })));
    assert_eq!(register(&client, TWO), (200, json!({ "id": 2 })));
    client.call("PUT", "/config/a", Some(&json!({ "compatibility": "FULL" }))).expect("an answer");
    registry.stop(); // with the client's connection still open

    let registry = start(dir.path());
    let client = Client::new(&registry.url());
    assert_eq!(client.call("GET", "/subjects/a/versions", None).expect("an answer"), (200, json!([1, 2])));
    let config = client.call("GET", "/config/a", None).expect("an answer");
    assert_eq!(config, (200, json!({ "compatibilityLevel": "FULL" })));
    assert_eq!(register(&client, TWO), (200, json!({ "id": 2 })));
}

/// The registry as a process of its own, to be killed: this very test binary, running only the test below.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(dir: &std::path::Path) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this test binary"))
            .args(["--exact", "registry::a_registry_to_be_killed", "--ignored", "--nocapture"])
            .env("FAIRLEAD_TEST_REGISTRY", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let url =
            lines.map_while(Result::ok).find_map(|line| line.split_once("serving at ").map(|(_, url)| url.to_owned()));
        Process { child, url: url.expect("the process tells its URL") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // SIGKILL
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "run as a process of its own by the test below"]
fn a_registry_to_be_killed() {
    let Some(dir) = std::env::var_os("FAIRLEAD_TEST_REGISTRY") else { return };
    let registry = start(dir.as_ref());
    println!("serving at {}", registry.url());
    let _ = std::io::stdin().read_line(&mut String::new()); // until the test ends
}

#[test]
fn killed_at_any_moment_it_has_all_that_it_answered() {
    const ROUNDS: u64 = 8;
    let dir = tempfile::tempdir().expect("a directory");
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    let schema = |name: &str| json!({ "schema": json!({ "type": "record", "name": name, "fields": [] }).to_string() });
    for round in 0..=ROUNDS {
        let process = Process::start(dir.path());
        let client = Client::new(&process.url);
        for (name, id) in &answered {
            let found = client.call("POST", &format!("/subjects/{name}/versions"), Some(&schema(name)));
            assert_eq!(found.expect("an answer"), (200, json!({ "id": id })), "{name} after {round} kills");
        }
        let mut ids: Vec<u64> = answered.values().copied().collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id was given twice");
        if round == ROUNDS {
            break;
        }
        // Registers until the kill, which comes after a varying number of answers, cuts it short.
        let mut process = Some(process);
        std::thread::scope(|scope| {
            let (told, kill) = std::sync::mpsc::channel();
            let url = process.as_ref().expect("it runs").url.clone();
            let registering = scope.spawn(move || {
                let client = Client::new(&url);
                let mut answered = Vec::new();
                for n in 0.. {
                    let name = format!("R{round}N{n}");
                    match client.call("POST", &format!("/subjects/{name}/versions"), Some(&schema(&name))) {
                        Ok((200, answer)) => answered.push((name, answer["id"].as_u64().expect("an id"))),
                        Ok(other) => panic!("{name}: {other:?}"),
                        Err(_) => break,
                    }
                    let _ = told.send(n);
                }
                answered
            });
            while kill.recv().expect("registering goes on until the kill") < 3 + round * 2 {}
            drop(process.take());
            answered.extend(registering.join().expect("no refusal"));
        });
    }
    assert!(answered.len() as u64 > ROUNDS * 3);
}

#[test]
fn a_registration_on_a_full_disk_is_refused_and_what_was_answered_is_kept() {
    let mount = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(mount.path(), 1);
    let registry = start(mount.path());
    // More than the rest of a page, which the file has to itself even if the disk is full.
    let schema =
        |name: &str| format!(r#"{{"type":"record","name":"{name}","doc":"{}","fields":[]}}"#, "x".repeat(16 << 10));
    let register = |client: &Client, name: &str| {
        let path = format!("/subjects/{name}/versions");
        client.call("POST", &path, Some(&json!({ "schema": schema(name) }))).expect("an answer")
    };
    let client = Client::new(&registry.url());
    assert_eq!(register(&client, "a"), (200, json!({ "id": 1 })));
    disk.fill();
    for _ in 0..2 {
        let (status, answer) = register(&client, "b");
        assert_eq!((status, &answer["error_code"]), (500, &json!(50001)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("No space left"), "{answer}");
    }
    assert_eq!(register(&client, "a"), (200, json!({ "id": 1 })), "what is there needs no room");
    registry.stop();
    // A start writes nothing, so it finds what was answered, and no more, even now.
    let registry = start(mount.path());
    let client = Client::new(&registry.url());
    assert_eq!(client.call("GET", "/subjects", None).unwrap(), (200, json!(["a"])));
    disk.free();
    assert_eq!(register(&client, "b"), (200, json!({ "id": 2 })));
    registry.stop();
    let registry = start(mount.path());
    let client = Client::new(&registry.url());
    for (name, id) in [("a", 1), ("b", 2)] {
        let (_, kept) = client.call("GET", &format!("/subjects/{name}/versions/1"), None).unwrap();
        assert_eq!((&kept["id"], kept["schema"].as_str()), (&json!(id), Some(schema(name).as_str())));
    }
}
