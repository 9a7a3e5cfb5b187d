//! Where Slack is told of incidents, how what people answer there comes back, and who may answer.

// An address only: nothing is opened here.
use core::net::IpAddr;

use serde::Deserialize;

use super::super::template::Template;
use super::super::yaml::Located;
use super::Ingest;
use crate::actions::{Actions, People};

/// The sink that posts what actions say, and the doors for clicks.
#[derive(Clone, Debug, Deserialize)]
pub struct Slack {
    pub actions: Located<String>,
    pub outcomes: Located<String>,
    /// Where what people answer goes; messages have buttons if it is named.
    pub responses: Option<Located<String>>,
    pub url: Option<Template>,
    pub token: Option<Template>,
    /// With it clicks are taken over HTTP.
    pub signing_secret: Option<Template>,
    /// With it clicks are fetched by Socket Mode.
    pub app_token: Option<Template>,
    /// Where Slack finds this application's pictures of trends; with it they are drawn, and messages show them.
    pub charts: Option<String>,
    /// Who may acknowledge, snooze and assign; without it whoever sees the message.
    pub responders: Option<People>,
}

impl Slack {
    /// Each with its path in front.
    pub(super) fn problems(&self, ingest: Option<&Ingest>) -> Vec<String> {
        let mut problems = Vec::new();
        let doors = [("signing_secret", self.signing_secret.is_some()), ("app_token", self.app_token.is_some())];
        for (door, _) in doors.iter().filter(|(_, is_there)| *is_there && self.responses.is_none()) {
            problems.push(format!(
                "slack.{door}: it does not say where clicks go; add `responses: oncall.responses.v1`, a topic of response"
            ));
        }
        if self.responses.is_some() && ingest.is_none() {
            problems.push(
                "slack.responses: clicks and answers of programs come over HTTP, which `ingest` serves; add that section"
                    .to_owned(),
            );
        }
        if let Some(charts) = &self.charts {
            problems.extend(address_problem(charts).map(|why| format!("slack.charts: {why}")));
            if ingest.is_none() {
                let mend = "add that section, or Slack finds no picture";
                problems.push(format!("slack.charts: pictures are fetched over HTTP, which `ingest` serves; {mend}"));
            }
        }
        let others = ingest.and_then(|ingest| ingest.responses.as_ref());
        if let (Some(ours), Some(others)) = (&self.responses, others)
            && ours.value != others.value
        {
            problems.push(format!(
                "slack.responses: what silences say goes to `{}`, see `ingest.responses`; name one topic for both",
                others.value
            ));
        }
        if let Some(people) = &self.responders {
            problems.extend(people.problems("slack.responders"));
            if people.api {
                problems.push("slack.responders.api: programs may answer anyhow; take it out".to_owned());
            } else if people.is_nobody() {
                problems.push("slack.responders: nobody could answer; name users or groups, or take it out".to_owned());
            }
        }
        problems
    }

    /// Each with its path in front.
    pub(super) fn warnings(&self, actions: &Actions) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.responses.is_some() && self.signing_secret.is_none() && self.app_token.is_none() {
            warnings.push(
                "slack.responses: messages have buttons, and nobody takes their clicks; add `signing_secret` for HTTP or \
                 `app_token` for Socket Mode"
                    .to_owned(),
            );
        }
        if self.responses.is_some() && self.responders.is_none() {
            warnings.push(
                "slack.responses: whoever sees a message may acknowledge, snooze and assign; name people under `responders`"
                    .to_owned(),
            );
            let open = actions.iter().filter(|(_, action)| action.allowed.is_none());
            warnings.extend(open.map(|(name, _)| {
                format!("actions.{name}: whoever sees a message may press it; name people under `allowed`")
            }));
        }
        warnings
    }

    /// Options that hold secrets, each with its path.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let secrets = [
            ("slack.token", &self.token),
            ("slack.signing_secret", &self.signing_secret),
            ("slack.app_token", &self.app_token),
        ];
        secrets.into_iter().filter_map(|(path, secret)| Some((path, secret.as_ref()?)))
    }
}

/// What is wrong with an address below which pictures are.
fn address_problem(address: &str) -> Option<String> {
    const CHARS_MAX: usize = 1_000;
    let mend = "write https://host/prefix, which leads to this application's HTTP, without a query";
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let of_links = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
    if !matches!(scheme, "https" | "http") || authority.is_empty() || authority.starts_with(':') {
        return Some(format!("`{address}` is no address of the web; {mend}"));
    }
    if !rest.chars().all(of_links) || address.len() > CHARS_MAX {
        return Some(format!("`{address}` is no plain address, or too long; {mend}"));
    }
    (scheme == "http" && !is_loopback(authority))
        .then(|| format!("`{address}` is not encrypted, and not on this machine; {mend}"))
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::topology::catalog::catalog;
    use crate::topology::compile::compile;
    use crate::topology::spec::SourceFile;

    /// What is said of options of `slack` and of further sections.
    fn told(slack: &str, sections: &str) -> Vec<String> {
        told_of(slack, sections, |text| text)
    }

    fn told_of(slack: &str, sections: &str, edit: impl Fn(String) -> String) -> Vec<String> {
        let topic = |name: &str, fact: &str| format!("  a.{name}.v1: {{ fact: {fact}, partitions: 1 }}\n");
        let topics: String = [
            ("alerts", "alert"),
            ("deploys", "deploy"),
            ("actions", "slack_action"),
            ("outcomes", "slack_outcome"),
            ("responses", "response"),
            ("runs", "action_run"),
        ]
        .map(|(name, fact)| topic(name, fact))
        .concat();
        let text = format!(
            "application: night\ntopics:\n{topics}ingest: {{ alerts: a.alerts.v1, deploys: a.deploys.v1, token: '${{env:T}}' }}\n\
             slack:\n  actions: a.actions.v1\n  outcomes: a.outcomes.v1\n{slack}{sections}"
        );
        let file = SourceFile { name: "a.yaml".to_owned(), text: edit(text) };
        let problems = compile(&[file], &catalog()).problems.into_iter().map(|problem| problem.to_string());
        problems.filter(|problem| !problem.contains("nothing reads or writes")).collect()
    }

    fn begin(problems: &[String], begins: &[&str]) {
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.contains(begin), "{problem}: {begin}");
        }
    }

    #[test]
    fn people_and_silences_answer_on_one_topic() {
        let answers = "  responses: a.responses.v1\n  signing_secret: ${env:S}\n  responders: { groups: [S0SRE] }\n";
        let with = |responses: &str| {
            let options = format!("silences: a.silences.v1, responses: {responses}, token:");
            let text = told_of(answers, "", |text| text.replace("token:", &options));
            text.into_iter().filter(|problem| problem.contains("slack.responses")).collect::<Vec<_>>()
        };
        assert_eq!(with("a.responses.v1"), Vec::<String>::new());
        begin(&with("a.others.v1"), &["slack.responses: what silences say goes to `a.others.v1`"]);
    }

    #[test]
    fn pictures_have_an_address_that_slack_can_reach_and_somebody_who_serves_them() {
        let said = |address: &str| told(&format!("  charts: '{address}'\n"), "");
        for address in [
            "https://fairlead.example",
            "https://fairlead.example:8443/on-call/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/x",
            "http://localhost",
        ] {
            assert_eq!(said(address), Vec::<String>::new(), "{address}");
        }
        for (address, why) in [
            ("http://fairlead.example", "is not encrypted"),
            ("http://127.0.0.1.example", "is not encrypted"),
            ("https://a.example/?x=1", "is no plain address"),
            ("https://a.example/#x", "is no plain address"),
            ("https://ann:secret@a.example", "is no plain address"),
            ("https://a b.example", "is no plain address"),
            ("ftp://a.example", "is no address of the web"),
            ("https:///x", "is no address of the web"),
            ("fairlead.example", "is no address of the web"),
            ("", "is no address of the web"),
        ] {
            let problems = said(address);
            begin(&problems, &["a.yaml:13:11: slack.charts: "]);
            assert!(problems[0].contains(why), "{problems:?}");
        }
        let alone = told_of("  charts: https://a.example\n", "", |text| {
            text.lines().filter(|line| !line.starts_with("ingest")).map(|line| format!("{line}\n")).collect()
        });
        begin(&alone, &["slack.charts: pictures are fetched over HTTP, which `ingest` serves; add that section"]);
    }

    #[test]
    fn who_may_answer_and_by_which_door_is_said_or_warned_of() {
        let complete = "  responses: a.responses.v1\n  signing_secret: ${env:S}\n  responders: { groups: [S0SRE] }\n";
        assert_eq!(told(complete, ""), Vec::<String>::new());
        begin(
            &told(
                "  responses: a.responses.v1\n",
                "actions: { x: { label: X, command: [x] } }\nrunner: { runs: a.runs.v1 }\n",
            ),
            &[
                "warning: slack.responses: messages have buttons, and nobody takes their clicks",
                "warning: slack.responses: whoever sees a message may acknowledge",
                "warning: actions.x: whoever sees a message may press it",
            ],
        );
        begin(
            &told(
                "  signing_secret: plain\n  app_token: ${env:A}\n  responders: { users: [ann], groups: [U1], api: true }\n",
                "",
            ),
            &[
                "a.yaml:13:19: slack.signing_secret: a secret must not stand in a file",
                "a.yaml:13:19: slack.signing_secret: it does not say where clicks go",
                "a.yaml:14:14: slack.app_token: it does not say where clicks go",
                "slack.responders.users[0]: `ann` is no Slack id of a person",
                "slack.responders.groups[0]: `U1` is no Slack id of a user group",
                "slack.responders.api: programs may answer anyhow",
            ],
        );
    }

    #[test]
    fn an_action_that_cannot_be_meant_is_told_at_its_place_with_its_mend() {
        let wrong = r#"actions:
  Roll_Back: { label: "", http: { url: "https://${incident.service}.example/x" }, command: [rm] }
  nothing: { label: N, timeout_ms: 0, allowed: {} }
  hook:
    label: Hook
    http:
      url: https://ci.example/run
      method: post
      headers: { Authorization: Bearer abc, X-Trace: "${incident.name}" }
      body: '{"service": ${incident.service}}'
  script: { label: S, command: [sh, -c, "echo ${run.by}"], colour: red }
"#;
        begin(
            &told("", wrong),
            &[
                "a.yaml:14:3: actions: nobody would do them",
                "a.yaml:14:14: actions.Roll_Back: the name is part of facts",
                "a.yaml:14:23: actions.Roll_Back.label: a button has 1 to 75 characters",
                "a.yaml:14:40: actions.Roll_Back.http.url: the address up to its path must stand here",
                "a.yaml:14:92: actions.Roll_Back.command: there is `http` too",
                "a.yaml:15:12: actions.nothing: nothing would be done",
                "a.yaml:15:36: actions.nothing.timeout_ms: must be 1 to 600000",
                "a.yaml:15:48: actions.nothing.allowed: nobody may press it",
                "a.yaml:20:15: actions.hook.http.method: `post` is none of",
                "a.yaml:21:33: actions.hook.http.headers.Authorization: a secret must not stand in a file",
                "a.yaml:21:54: `${incident.name}` stands for nothing; did you mean `incident.id`?",
                "a.yaml:22:13: actions.hook.http.body: this becomes no JSON",
                "a.yaml:23:32: actions.script.command: nothing is put into arguments",
                "a.yaml:23:60: `colour` is unknown",
            ],
        );
    }

    /// What is commented out in the shipped files, put in force: it is right, and the operator that shows buttons finds it.
    #[test]
    fn the_buttons_that_the_shipped_file_shows_would_work() {
        let mut app = String::new();
        let mut in_example = false;
        for line in include_str!("../../../topology/app.yaml").lines() {
            let option = ["  # responses:", "  # signing_secret:", "  # charts:", "  # responders:"];
            in_example |= line == "# actions:" || line == "# runner:";
            in_example &= line.starts_with("# ") && !line.is_empty();
            match line {
                line if option.iter().any(|begin| line.starts_with(begin)) => app += &line.replacen("# ", "", 1),
                line if in_example => app += &line[2..],
                line => app += line,
            }
            app.push('\n');
        }
        let mut topics = include_str!("../../../topology/topics.yaml").to_owned();
        for (name, fact) in [("responses", "response"), ("action-runs", "action_run")] {
            let name = format!("oncall.{name}.v1");
            if !topics.contains(&format!("\n  {name}:")) {
                topics += &format!("\n  {name}: {{ fact: {fact}, partitions: 4 }}\n");
            }
        }
        let oncall = include_str!("../../../topology/oncall.yaml").to_owned();
        let files = [("app.yaml", app), ("topics.yaml", topics), ("oncall.yaml", oncall)];
        let files = files.map(|(name, text)| SourceFile { name: name.to_owned(), text });
        let compiled = compile(&files, &catalog());
        assert_eq!(compiled.problems, []);
        let topology = compiled.topology.unwrap();
        let notify = topology.node("notify").unwrap();
        assert_eq!(notify.config["responses"], "oncall.responses.v1");
        assert_eq!(notify.config["charts"], "https://fairlead.example");
        assert!(notify.config["actions"]["restart"]["http"].is_object(), "{}", notify.config);
        assert_eq!(topology.settings.actions.len(), 2);
    }
}
