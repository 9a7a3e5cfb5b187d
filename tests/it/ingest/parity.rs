//! The oracle: what a real Alertmanager answers, fairlead answers too. Both are told the same alerts and silences over HTTP and then
//! asked the same questions; only ids and the times of telling are taken out before the answers are compared.

use std::collections::BTreeMap;

use super::senders::{alertmanager, write};
use super::view::with_view;
use super::*;

/// One of the two.
struct Told {
    http: reqwest::Client,
    url: String,
    /// The comment of each silence, which is what both call it.
    names: BTreeMap<String, String>,
}

impl Told {
    fn new(address: &str) -> Self {
        Self { http: reqwest::Client::new(), url: format!("http://{address}/api/v2"), names: BTreeMap::new() }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(TOKEN).timeout(PATIENCE);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    async fn silence(&mut self, body: &Value) -> u16 {
        let (status, answer) = self.post("/silences", body).await;
        if let (200, Some(id)) = (status, answer["silenceID"].as_str()) {
            self.names.insert(id.to_owned(), body["comment"].as_str().unwrap().to_owned());
        }
        // The specification's own validation: fairlead says 400 for that too.
        if status == 422 { 400 } else { status }
    }

    async fn delete(&self, name: &str) -> u16 {
        let id = self.names.iter().find(|(_, known)| *known == name).map_or(name, |(id, _)| id);
        let request = self.http.delete(format!("{}/silence/{id}", self.url)).bearer_auth(TOKEN).timeout(PATIENCE);
        request.send().await.unwrap().status().as_u16()
    }

    async fn get(&self, question: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{question}", self.url)).bearer_auth(TOKEN).timeout(PATIENCE);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let mut told: Value = answer.json().await.unwrap_or(Value::Null);
        if status == 200 {
            told.as_array_mut().into_iter().flatten().for_each(|one| self.normal(one));
        } else {
            told = Value::Bool(told.is_string());
        }
        (status, told)
    }

    /// Without ids and times of telling.
    fn normal(&self, one: &mut Value) {
        let object = one.as_object_mut().expect("an object");
        object.remove("updatedAt");
        if object.contains_key("matchers") {
            object.remove("id");
            object.remove("startsAt");
            if object["status"]["state"] == "expired" {
                object.remove("endsAt");
            }
            return;
        }
        if !object.contains_key("status") {
            return;
        }
        object.remove("endsAt");
        let status = object["status"].as_object_mut().expect("a status");
        status.remove("mutedBy");
        let by = status["silencedBy"].as_array().expect("a list");
        let mut by: Vec<_> = by.iter().map(|id| self.names[id.as_str().unwrap()].clone()).collect();
        by.sort();
        status["silencedBy"] = json!(by);
        // Which order the fields are in is nobody's business.
        object.sort_keys();
    }
}

fn at(secs: i64) -> String {
    let time = jiff::Timestamp::from_second(Clock::wall().now().0 / 1_000 + secs).unwrap();
    format!("{time:.3}")
}

fn silence(comment: &str, starts: i64, ends: i64, matchers: &[(&str, &str, &str)]) -> Value {
    let matcher = |(name, operator, value): &(&str, &str, &str)| json!({"name": name, "value": value, "isRegex": operator.ends_with('~'), "isEqual": operator.starts_with('=')});
    let matchers: Vec<_> = matchers.iter().map(matcher).collect();
    json!({"comment": comment, "createdBy": "maria", "startsAt": at(starts), "endsAt": at(ends), "matchers": matchers})
}

fn firing() -> Value {
    let start = at(-60);
    let alert = |labels: Value| json!({"labels": labels, "annotations": {"summary": "s"}, "startsAt": start, "generatorURL": "http://p/g"});
    json!([
        alert(json!({"alertname": "HighErrors", "service": "checkout", "code": "503"})),
        alert(json!({"alertname": "HighErrors", "service": "search", "code": "500"})),
        alert(json!({"alertname": "DiskFull", "service": "search", "zone": "ü \"x\", y\\z"})),
        alert(json!({"alertname": "DiskFull", "service": "checkout", "empty": ""})),
    ])
}

/// What both are to judge alike.
fn strange() -> Vec<Value> {
    let mut strange = vec![
        silence("backwards", 100, 50, &[("a", "=", "b")]),
        silence("past", -100, -50, &[("a", "=", "b")]),
        silence("no time", 100, 100, &[("a", "=", "b")]),
        silence("idle", 0, 100, &[("a", "=", ""), ("b", "=~", ".*")]),
        silence("half idle", 0, 110, &[("a", "=", ""), ("b", "=~", ".+")]),
        silence("negative", 0, 120, &[("a", "!=", "")]),
        silence("no pattern", 0, 100, &[("a", "=~", "(")]),
        silence("outside", 0, 100, &[("a", "=~", "b)(c")]),
        silence("nobody", 0, 100, &[]),
        silence("no name", 0, 100, &[("", "=", "x")]),
    ];
    for (field, value) in
        [("createdBy", json!("")), ("matchers", Value::Null), ("startsAt", json!("soon")), ("endsAt", Value::Null)]
    {
        let mut odd = silence("odd", 0, 130, &[("a", "=", "b")]);
        odd[field] = value;
        strange.push(odd);
    }
    let mut unknown = silence("unknown", 0, 100, &[("a", "=", "b")]);
    unknown["id"] = json!("9a6a3f2e-0000-4000-8000-000000000000");
    strange.push(unknown);
    strange
}

const QUESTIONS: &[&str] = &[
    "/alerts",
    "/alerts?active=false",
    "/alerts?silenced=false",
    "/alerts?silenced=false&active=false",
    "/alerts?inhibited=false&unprocessed=false",
    "/alerts?filter=alertname%3D%22HighErrors%22",
    "/alerts?filter=alertname%3DHighErrors&filter=code!%3D503",
    "/alerts?filter=code%3D~%2250.%22",
    "/alerts?filter=code!~%2250.%22",
    "/alerts?filter=code%3D%22%22",
    "/alerts?filter=code!%3D%22%22",
    "/alerts?filter=zone%3D%22%C3%BC%20%5C%22x%5C%22%2C%20y%5C%5Cz%22",
    "/alerts?filter=zone%3D~%22.*x.*%22",
    "/alerts?filter=alertname%3D~%22High%22",
    "/alerts?filter=nothing%3Dx",
    "/alerts?filter=alertname",
    "/alerts?filter=alertname%3D%22a%22b%22",
    "/alerts?filter=alertname%3D~(",
    "/alerts?receiver=fairlead",
    "/alerts?receiver=fair",
    "/alerts?receiver=.*lead",
    "/alerts?receiver=(",
    "/alerts/groups?filter=(",
    "/silences",
    "/silences?filter=alertname%3D%22HighErrors%22",
    "/silences?filter=alertname%3D~%22HighErrors%22",
    "/silences?filter=service%3D~%22ch.*%22&filter=alertname!%3DX",
    "/silences?filter=alertname",
    "/receivers",
    "/silence/9a6a3f2e-0000-4000-8000-000000000000",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_answers_the_same() {
    let (server, _) = with_view(Kafka::shared(), Clock::wall()).await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "alertmanager.yml", "route: {receiver: fairlead}\nreceivers:\n- name: fairlead\n".to_owned());
    let (_alertmanager, address) = alertmanager(folder.path());
    let mut both = [Told::new(&address), Told::new(&server.ingest.addr().to_string())];

    let silences = [
        silence("errors of checkout", -10, 3_600, &[("alertname", "=", "HighErrors"), ("code", "=~", "503|504")]),
        silence("all of a service", 0, 1_800, &[("service", "=~", "ch.*"), ("alertname", "!=", "X")]),
        silence("later", 1_200, 3_600, &[("alertname", "=", "DiskFull")]),
        silence("much later", 2_400, 3_600, &[("alertname", "!~", "D.*")]),
        silence("missing label", 0, 7_200, &[("service", "=", "search"), ("code", "=", "")]),
        silence("to end", 0, 600, &[("service", "=", "search")]),
        silence("never begins", 600, 700, &[("service", "=", "search")]),
    ];
    let longer = silence("later", 1_200, 4_800, &[("alertname", "=", "DiskFull")]);
    let other = silence("another", 0, 7_200, &[("service", "=", "search"), ("alertname", "=~", "D.*")]);
    let strange = strange();
    for one in &mut both {
        assert_eq!(one.post("/alerts", &firing()).await.0, 200);
        for silence in &silences {
            assert_eq!(one.silence(silence).await, 200, "{silence}");
        }
        assert_eq!((one.delete("to end").await, one.delete("never begins").await), (200, 200));
        // An end that is moved keeps its id; other matchers make another one.
        let (id, _) = one.names.iter().find(|(_, name)| *name == "later").unwrap();
        let mut longer = longer.clone();
        longer["id"] = json!(id);
        let known = one.names.len();
        assert_eq!((one.silence(&longer).await, one.names.len()), (200, known));
        let (id, _) = one.names.iter().find(|(_, name)| *name == "missing label").unwrap();
        let mut other = other.clone();
        other["id"] = json!(id);
        assert_eq!((one.silence(&other).await, one.names.len()), (200, known + 1));
    }
    let [real, own] = &mut both;
    for body in &strange {
        assert_eq!(own.silence(body).await, real.silence(body).await, "{body}");
    }
    let deadline = Instant::now() + PATIENCE;
    while own.get("/alerts").await.1.as_array().map_or(0, Vec::len) < 4 {
        assert!(Instant::now() < deadline, "the alerts are read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for question in QUESTIONS {
        let (expected, found) = (real.get(question).await, own.get(question).await);
        assert_eq!(found, expected, "{question}");
    }
    server.ingest.stop().await;
}
