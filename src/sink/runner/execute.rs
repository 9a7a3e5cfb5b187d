//! One run: a program without a shell, or an HTTP call without redirections; both bounded in time and in what they say.
//!
//! A program gets nothing of our environment but PATH and HOME, and is the head of a process group of its own: when its time is
//! over the whole group is killed. What it printed is told without the secrets that it was given.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::output::Tail;
use crate::actions::template::{Encoding, Field, Secret, Template};
use crate::actions::{Action, Actions, Http};
use crate::event::{ActionRun, RunStatus};

/// After a program has ended: how long what it printed may take to come, if others hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub struct Executor {
    http: reqwest::Client,
    actions: Actions,
    secrets: BTreeMap<Secret, String>,
}

#[derive(Debug)]
pub struct Ended {
    pub status: RunStatus,
    pub result: String,
    pub output: Option<String>,
}

impl Ended {
    fn failed(result: impl Into<String>) -> Self {
        Self { status: RunStatus::Failed, result: result.into(), output: None }
    }
}

impl Executor {
    /// `secrets`: what stands at each place that the actions name.
    pub fn new(actions: Actions, secrets: BTreeMap<Secret, String>) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).pool_max_idle_per_host(0).build()?;
        Ok(Self { http, actions, secrets })
    }

    pub async fn execute(&self, run: &ActionRun) -> Ended {
        let action = self.actions.get(&run.action).filter(|action| action.is_for(&run.service));
        let Some(action) = action else {
            return Ended::failed("not done: the topology has no such action for this service any more");
        };
        match (&action.http, &action.command) {
            (Some(http), _) => self.call(action, http, run).await,
            (None, Some(argv)) => self.start(action, argv, run).await,
            (None, None) => Ended::failed("not done: the action says nothing to do"),
        }
    }

    fn fill(&self, template: &Template, encoding: Encoding, run: &ActionRun) -> Option<String> {
        template.fill(encoding, |field| value(field, run), |secret| self.secrets.get(secret).cloned())
    }

    fn text(&self, tail: &Tail) -> Option<String> {
        tail.text(self.secrets.values().map(String::as_str))
    }

    async fn call(&self, action: &Action, http: &Http, run: &ActionRun) -> Ended {
        let Some(request) = self.request(http, run) else {
            return Ended::failed("not done: the request makes no sense");
        };
        let timeout = Duration::from_millis(action.timeout_ms.into());
        let mut response = match request.timeout(timeout).send().await {
            Ok(response) => response,
            // Without its URL, which may be a secret.
            Err(error) if error.is_connect() || error.is_builder() => {
                return Ended::failed(format!("not done: {}", error.without_url()));
            }
            Err(error) => {
                let result = format!("no answer, so it may have been done or not: {}", error.without_url());
                return Ended { status: RunStatus::Unknown, result, output: None };
            }
        };
        let status = response.status();
        let mut tail = Tail::new(action.output_bytes_max);
        while let Ok(Some(chunk)) = response.chunk().await {
            tail.push(&chunk);
        }
        let expected = match http.expect.is_empty() {
            true => status.is_success(),
            false => http.expect.contains(&status.as_u16()),
        };
        let ended = if expected { RunStatus::Succeeded } else { RunStatus::Failed };
        Ended { status: ended, result: format!("http status {}", status.as_u16()), output: self.text(&tail) }
    }

    fn request(&self, http: &Http, run: &ActionRun) -> Option<reqwest::RequestBuilder> {
        let method = Method::from_bytes(http.method.as_bytes()).ok()?;
        let mut request = self.http.request(method, self.fill(&http.url, Encoding::Percent, run)?);
        let names_type = http.headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
        if let Some(body) = &http.body {
            request = request.body(self.fill(body, Encoding::Json, run)?);
            if !names_type {
                request = request.header(CONTENT_TYPE, "application/json");
            }
        }
        for (name, value) in &http.headers {
            let mut value = HeaderValue::from_str(&self.fill(value, Encoding::Percent, run)?).ok()?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        Some(request)
    }

    async fn start(&self, action: &Action, argv: &[String], run: &ActionRun) -> Ended {
        let [program, arguments @ ..] = argv else { return Ended::failed("not done: no program is named") };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(["PATH", "HOME"].into_iter().filter_map(|name| {
            let value = std::env::var_os(name)?;
            Some((name, value))
        }));
        command.envs(Field::ALL.map(|field| (variable(field), value(field, run))));
        for (name, template) in &action.environment {
            let Some(value) = self.fill(template, Encoding::Plain, run) else {
                return Ended::failed(format!("not done: the variable {name} has no value"));
            };
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::failed(format!("not done: {program} cannot be started: {error}")),
        };
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let tail = Arc::new(Mutex::new(Tail::new(action.output_bytes_max)));
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let reading = async { tokio::join!(read(out, &tail), read(errors, &tail)) };
        tokio::pin!(reading);
        let timeout = Duration::from_millis(action.timeout_ms.into());
        let mut all_said = false;
        let waited = tokio::time::timeout(timeout, async {
            tokio::select! {
                ended = child.wait() => ended,
                _ = &mut reading => {
                    all_said = true;
                    child.wait().await
                }
            }
        });
        let waited = waited.await;
        if !all_said && waited.is_ok() {
            all_said = tokio::time::timeout(LAST_WORDS, &mut reading).await.is_ok();
        }
        if all_said && waited.is_ok() {
            // Nobody of its group is left that could be meant.
            std::mem::forget(group);
        } else {
            drop(group);
        }
        let output = self.text(&tail.lock().unwrap_or_else(PoisonError::into_inner));
        let (status, result) = match waited {
            Ok(Ok(ended)) => (if ended.success() { RunStatus::Succeeded } else { RunStatus::Failed }, told(ended)),
            Ok(Err(error)) => (RunStatus::Unknown, format!("nobody knows how it ended: {error}")),
            Err(_) => (RunStatus::Failed, format!("killed: it had not ended after {} ms", action.timeout_ms)),
        };
        Ended { status, result, output }
    }
}

/// Killed with all that are in it when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(head) = self.0 {
            // Gone already is as good.
            let _ = kill_process_group(head, Signal::KILL);
        }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, into: &Mutex<Tail>) {
    let Some(mut from) = from else { return };
    let mut bytes = vec![0; 8 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        into.lock().unwrap_or_else(PoisonError::into_inner).push(&bytes[..length]);
    }
}

fn told(ended: ExitStatus) -> String {
    ended.code().map_or_else(|| ended.to_string(), |code| format!("exit code {code}"))
}

fn value(field: Field, run: &ActionRun) -> String {
    match field {
        Field::IncidentId => run.incident_id.clone(),
        Field::Service => run.service.clone(),
        Field::RunId => run.id.clone(),
        Field::Action => run.action.clone(),
        Field::By => run.by.clone(),
        Field::RequestedAt => jiff::Timestamp::from_millisecond(run.at_ms).map(|at| at.to_string()).unwrap_or_default(),
    }
}

/// What a program finds it by.
fn variable(field: Field) -> &'static str {
    match field {
        Field::IncidentId => "FAIRLEAD_INCIDENT_ID",
        Field::Service => "FAIRLEAD_SERVICE",
        Field::RunId => "FAIRLEAD_RUN_ID",
        Field::Action => "FAIRLEAD_ACTION",
        Field::By => "FAIRLEAD_BY",
        Field::RequestedAt => "FAIRLEAD_REQUESTED_AT",
    }
}
