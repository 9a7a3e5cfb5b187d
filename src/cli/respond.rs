//! `fairlead respond`: answers to an incident from a terminal or a script, through a running server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::output::{Output, print, print_json};
use super::problems;
use crate::app::{resolve, source};
use crate::topology::settings::Settings;

#[derive(Args)]
pub struct Respond {
    #[arg(value_enum)]
    verb: Verb,
    /// The service, as alerts name it
    #[arg(long)]
    service: String,
    /// The incident's id, which stands at the foot of its message: inc-…
    #[arg(long)]
    incident: String,
    /// Who says so
    #[arg(long, env = "USER", value_name = "NAME")]
    by: String,
    /// Of snooze: how long, such as 90m or 4h
    #[arg(long = "for", value_name = "TIME")]
    span: Option<String>,
    /// Of snooze: until when, RFC 3339
    #[arg(long, conflicts_with = "span")]
    until: Option<String>,
    /// Of assign: the Slack id of whose it shall be; without it nobody's
    #[arg(long, value_name = "ID")]
    assignee: Option<String>,
    /// Of run: the action's name
    #[arg(long)]
    action: Option<String>,
    /// Why, for the people in the thread
    #[arg(long)]
    comment: Option<String>,
    /// The same key, the same answer: told twice it counts once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The server; without it the one that the topology describes, on this machine
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Directory of the topology's files, which say where the bearer token is
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verb {
    /// It is taken in hand
    Acknowledge,
    /// It is given back
    Unacknowledge,
    /// Nobody is told of it for a while
    Snooze,
    /// The while is over
    Unsnooze,
    /// It is somebody's
    Assign,
    /// An action is to be done, if its `allowed` lets programs ask for it
    Run,
}

impl Respond {
    pub async fn run(self) -> Result<()> {
        let settings = problems::require(source::load(&self.topology)?)?.settings;
        let base = match &self.url {
            Some(url) => url.clone(),
            None => format!("http://{}", reached(&settings)?),
        };
        let mut url = reqwest::Url::parse(&base).with_context(|| format!("`{base}` is no url"))?;
        let place = ["api", "v1", "incidents", &self.service, &self.incident, "responses"];
        url.path_segments_mut().map_err(|()| anyhow!("`{base}` is no url of a server"))?.pop_if_empty().extend(place);
        let mut request = reqwest::Client::new().post(url).json(&self.body());
        if let Some(token) = settings.ingest.as_ref().and_then(|ingest| ingest.token.as_ref()) {
            let token = resolve(token, "ingest.token")?;
            let token = token.split_whitespace().next().context("ingest.token is empty")?.to_owned();
            request = request.bearer_auth(token);
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        let answer =
            request.send().await.with_context(|| format!("no server answers at {base}; is `fairlead run` up?"))?;
        let status = answer.status();
        let told: Value = answer.json().await.unwrap_or_default();
        if !status.is_success() {
            let say = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
            bail!("{status}: {}; {}", say("error"), say("mend"));
        }
        match self.output {
            Output::Json => print_json(&told),
            Output::Text => print(&text(&told)),
        }
    }

    fn body(&self) -> Value {
        let verb = self.verb.to_possible_value().map(|value| value.get_name().to_owned());
        let fields = [
            ("verb", &verb),
            ("by", &Some(self.by.clone())),
            ("for", &self.span),
            ("until", &self.until),
            ("assignee", &self.assignee),
            ("action", &self.action),
            ("comment", &self.comment),
        ];
        let told = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        Value::Object(told.collect::<Map<_, _>>())
    }
}

fn text(told: &Value) -> String {
    let stored = &told["stored"];
    let (topic, id) = (stored["topic"].as_str().unwrap_or_default(), told["id"].as_str().unwrap_or_default());
    format!("{id}: {topic}-{}@{}\n", stored["partition"], stored["offset"])
}

/// Where a server of this topology is reached on this machine.
fn reached(settings: &Settings) -> Result<SocketAddr> {
    let mut address: SocketAddr = settings.http.listen.parse().context("http.listen")?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ResponseVerb;
    use crate::ingest::responses::api;
    use crate::record::EventTime;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        respond: Respond,
    }

    #[test]
    fn what_the_flags_say_is_what_the_server_reads() {
        let parse = |args: &[&str]| {
            let args = ["respond"].iter().chain(args).chain(&["--service", "s", "--incident", "i", "--by", "ann"]);
            Program::try_parse_from(args).map(|program| program.respond)
        };
        let read = |respond: &Respond| api::read(("s", "i"), "k", respond.body().to_string().as_bytes(), EventTime(0));
        let response = read(&parse(&["snooze", "--for", "90m", "--comment", "a deploy"]).unwrap()).unwrap();
        assert_eq!((response.verb, response.until_ms, &*response.by), (ResponseVerb::Snooze, Some(5_400_000), "ann"));
        for (verb, more) in [
            ("acknowledge", vec![]),
            ("unsnooze", vec![]),
            ("run", vec!["--action", "x"]),
            ("assign", vec!["--assignee", "U1"]),
        ] {
            assert!(read(&parse(&[&[verb][..], &more[..]].concat()).unwrap()).is_ok(), "{verb}");
        }
        assert!(parse(&["silence"]).is_err() && parse(&["snooze", "--for", "1h", "--until", "x"]).is_err());
    }
}
