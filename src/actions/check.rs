//! What of an action cannot be meant, each with its path in front and the mend behind.

use super::template::{Encoding, Part, Template};
use super::{Action, Http, People};

/// Slack's limit for the text of a button, and for what a dialog asks.
const LABEL_CHARS_MAX: usize = 75;
const CONFIRM_CHARS_MAX: usize = 300;
const NAME_CHARS_MAX: usize = 64;
const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];
/// A run holds a place of the runner for so long.
const TIMEOUT_MS_MAX: u32 = 600_000;
/// The end of the output is part of a fact, and of a message.
const OUTPUT_BYTES_MAX: usize = 65_536;

impl Action {
    pub fn problems(&self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        let mut say = |option: &str, problem: &str| {
            let dot = if option.is_empty() { "" } else { "." };
            told.push(format!("actions.{name}{dot}{option}: {problem}"));
        };
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_word) {
            say("", "the name is part of facts; write lower-case letters, digits and `-`, at most 64");
        }
        if !(1..=LABEL_CHARS_MAX).contains(&self.label.trim().chars().count()) {
            say("label", "a button has 1 to 75 characters; say in a few words what happens");
        }
        if self.confirm.as_ref().is_some_and(|text| !(1..=CONFIRM_CHARS_MAX).contains(&text.trim().chars().count())) {
            say("confirm", "a dialog asks in 1 to 300 characters; shorten it, or take it out for a plain question");
        }
        match (&self.http, &self.command) {
            (None, None) => say("", "nothing would be done; write `http:` or `command:`"),
            (Some(_), Some(_)) => say("command", "there is `http` too; an action does one thing, so make two of it"),
            (None, Some(argv)) if argv.first().is_none_or(|program| program.is_empty()) => {
                say("command", "name the program; write `command: [/usr/local/bin/rollback, --fast]`");
            }
            (None, Some(argv)) if argv.iter().any(|word| word.contains("${")) => {
                say("command", "nothing is put into arguments; read FAIRLEAD_SERVICE and its like in the program");
            }
            _ => {}
        }
        if self.command.is_none() && !self.environment.is_empty() {
            say("environment", "it is a command's; take it out");
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            say("timeout_ms", "must be 1 to 600000");
        }
        if !(1..=OUTPUT_BYTES_MAX).contains(&self.output_bytes_max) {
            say("output_bytes_max", "must be 1 to 65536");
        }
        if self.allowed.as_ref().is_some_and(People::is_nobody) {
            say("allowed", "nobody may press it; name users or groups, or take it out");
        }
        told.extend(self.allowed.iter().flat_map(|people| people.problems(&format!("actions.{name}.allowed"))));
        told.extend(self.http.iter().flat_map(|http| http.problems(&format!("actions.{name}.http"))));
        told
    }
}

impl Http {
    fn problems(&self, path: &str) -> Vec<String> {
        let mut told = Vec::new();
        if !METHODS.contains(&&*self.method) {
            told.push(format!("{path}.method: `{}` is none of {}", self.method, METHODS.join(", ")));
        }
        if !names_its_host(&self.url) {
            told.push(format!(
                "{path}.url: the address up to its path must stand here or be a secret; write https://host/path/${{incident.id}}"
            ));
        }
        for (name, value) in &self.headers {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if name.is_empty() || !name.bytes().all(is_name) {
                told.push(format!("{path}.headers.{name}: this is no name of a header; write letters, digits and `-`"));
            }
            let hides = ["authorization", "cookie", "token", "secret", "key", "password"];
            let (lower, is_run) = (name.to_lowercase(), name.eq_ignore_ascii_case("idempotency-key"));
            if hides.iter().any(|word| lower.contains(word)) && !is_run && value.secrets().next().is_none() {
                told.push(format!(
                    "{path}.headers.{name}: a secret must not stand in a file; write `${{env:NAME}}` or `${{file:PATH}}`"
                ));
            }
        }
        let is_json = !self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        let stays_json = |body: &Template| {
            let filled = body.fill(Encoding::Json, |_| "x".to_owned(), |_| Some("x".to_owned()));
            filled.is_some_and(|text| serde_json::from_str::<serde_json::Value>(&text).is_ok())
        };
        if is_json && self.body.as_ref().is_some_and(|body| !stays_json(body)) {
            told.push(format!(
                "{path}.body: this becomes no JSON; put quotes around what is put in, or name another Content-Type"
            ));
        }
        if self.expect.iter().any(|status| !(100..600).contains(status)) {
            told.push(format!("{path}.expect: an HTTP status is 100 to 599"));
        }
        told
    }
}

/// What a run is about must not choose whom the runner calls.
fn names_its_host(url: &Template) -> bool {
    match url.parts.first() {
        Some(Part::Secret(_)) => true,
        Some(Part::Text(text)) => {
            let after = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            let host = after.map(|after| after.split(['/', '?', '#']).next().unwrap_or_default());
            let ends = after.zip(host).is_some_and(|(after, host)| after.len() > host.len());
            host.is_some_and(|host| !host.is_empty()) && (ends || url.parts.len() == 1)
        }
        _ => false,
    }
}

impl People {
    /// `path` is where it stands.
    pub fn problems(&self, path: &str) -> Vec<String> {
        let is_id = |id: &str, kinds: &[char]| {
            id.len() > 2 && id.starts_with(kinds) && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        };
        let users = self.users.iter().enumerate().filter(|(_, id)| !is_id(id, &['U', 'W'])).map(|(at, id)| {
            format!(
                "{path}.users[{at}]: `{id}` is no Slack id of a person; it begins with U or W, and a profile shows it"
            )
        });
        let groups =
            self.groups.iter().enumerate().filter(|(_, id)| !is_id(id, &['S'])).map(|(at, id)| {
                format!("{path}.groups[{at}]: `{id}` is no Slack id of a user group; it begins with S")
            });
        users.chain(groups).collect()
    }
}
