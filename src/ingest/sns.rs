//! CloudWatch alarms as Amazon SNS delivers them to an HTTP endpoint.
//!
//! ```text
//! aws sns subscribe --topic-arn arn:aws:sns:eu-west-1:123456789012:alarms --protocol https \
//!   --notification-endpoint https://fairlead.example/webhooks/sns
//! ```
//!
//! Invariants: identity is the alarm's ARN; `ALARM` fires, `OK` resolves, and `INSUFFICIENT_DATA` is ignored, for it tells
//! neither. An alarm tells when its state changed and not when it began to fire, so its ARN is also the name of its episode. A
//! message that is delivered twice has one `MessageId`. Signatures are over seven fields in a fixed order, not over the body:
//! whatever else stands in there is not looked at.
//!
//! Pure: which host a certificate may come from is decided here, who fetches it and judges the signature is in `proof`.

#[cfg(feature = "runtime")]
pub mod proof;

use serde_json::Value;

use super::json::{Node, Refusal, parse};
use super::{Reading, Rules, details, fingerprint, time};
use crate::event::{Alert, AlertStatus, Fact};
use crate::record::EventTime;

/// An envelope with what is signed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    pub kind: Kind,
    pub topic: String,
    pub version: SignatureVersion,
    /// Base64.
    pub signature: String,
    pub certificate: Place,
    /// What the signature is over.
    pub signed: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Notification,
    /// SNS asks whether its messages are wanted; whoever fetches this says yes.
    Subscription(Place),
    Unsubscription,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureVersion {
    /// SHA-1
    One,
    /// SHA-256
    Two,
}

/// An `https` URL at `sns.<region>.amazonaws.com`, which nobody but Amazon serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(String);

/// The envelope's fields are small but for the message itself.
const FIELD_BYTES_MAX: usize = 4_096;

impl Place {
    /// Nothing else is ever asked: an address out of a payload could be one of our own network.
    pub fn of(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?;
        let (host, _) = rest.split_once('/')?;
        let region = host.strip_prefix("sns.")?;
        let region = region.strip_suffix(".amazonaws.com").or_else(|| region.strip_suffix(".amazonaws.com.cn"))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let legal = !region.is_empty() && region.bytes().all(plain);
        let printable = url.len() <= FIELD_BYTES_MAX && url.bytes().all(|byte| byte.is_ascii_graphic());
        (legal && printable && !url.contains('\\')).then(|| Self(url.to_owned()))
    }

    pub fn url(&self) -> &str {
        &self.0
    }

    /// As Amazon calls its certificates, and without a query: other answers of that host may repeat what somebody else said.
    fn of_certificate(self, root: &Node<'_>) -> Result<Self, Refusal> {
        let path = self.0.trim_start_matches("https://").split_once('/').map_or("", |(_, path)| path);
        let name = path.strip_prefix("SimpleNotificationService-").and_then(|rest| rest.strip_suffix(".pem"));
        if name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Ok(self);
        }
        Err(root.refuse("\"SigningCertURL\" names no certificate", "send messages of Amazon SNS only"))
    }
}

/// What a message says of itself, before it is believed.
pub fn envelope(body: &[u8]) -> Result<Envelope, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    insist_on_envelope(&root)?;
    let told = |name: &str| root.required(name)?.filled(FIELD_BYTES_MAX).map(str::to_owned);
    let place = |name: &str| {
        let url = root.required(name)?;
        Place::of(url.string()?).ok_or_else(|| {
            url.refuse("this is no https address of sns.<region>.amazonaws.com", "send messages of Amazon SNS only")
        })
    };
    let kind = root.required("Type")?;
    let (kind, names): (_, &[&str]) = match kind.string()? {
        "Notification" => (Kind::Notification, &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]),
        "SubscriptionConfirmation" => (Kind::Subscription(place("SubscribeURL")?), &CONFIRMATION),
        "UnsubscribeConfirmation" => (Kind::Unsubscription, &CONFIRMATION),
        _ => return Err(kind.refuse(format!("{} is not known", kind.found()), "send messages of Amazon SNS only")),
    };
    let version = root.required("SignatureVersion")?;
    Ok(Envelope {
        kind,
        topic: told("TopicArn")?,
        version: match version.string()? {
            "1" => SignatureVersion::One,
            "2" => SignatureVersion::Two,
            _ => return Err(version.refuse(format!("{} is not known", version.found()), "let SNS sign with 1 or 2")),
        },
        signature: told("Signature")?,
        certificate: place("SigningCertURL")?.of_certificate(&root)?,
        signed: signed(&root, names)?,
    })
}

fn insist_on_envelope(root: &Node<'_>) -> Result<(), Refusal> {
    let message = root.object("a message of SNS")?;
    if !message.contains_key("Type") && message.contains_key("AlarmName") {
        return Err(root.refuse(
            "this is an alarm without the envelope that is signed",
            "switch raw message delivery off for this subscription",
        ));
    }
    Ok(())
}

const CONFIRMATION: [&str; 7] = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// Name and value of each field on lines of their own; a notification need not have a subject.
fn signed(root: &Node<'_>, names: &[&str]) -> Result<String, Refusal> {
    let mut text = String::new();
    for name in names {
        if *name == "Subject" && root.field(name).is_none() {
            continue;
        }
        for line in [name, root.required(name)?.string()?] {
            text += line;
            text += "\n";
        }
    }
    Ok(text)
}

/// `POST /webhooks/sns`
pub fn read(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    insist_on_envelope(&root)?;
    let delivery = Some(root.required("MessageId")?.filled(FIELD_BYTES_MAX)?.to_owned());
    let fact = match root.required("Type")?.string()? {
        "Notification" => notification(&root.required("Message")?, rules, now),
        _ => Ok(None),
    };
    Ok(Reading { delivery, ..Reading::of_one(fact)? })
}

/// The message is text that holds JSON.
fn notification(message: &Node<'_>, rules: &Rules, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    let no_alarm =
        |problem: String| message.refuse(problem, "subscribe this endpoint to topics of CloudWatch alarms only");
    let value: Value =
        serde_json::from_str(message.string()?).map_err(|error| no_alarm(format!("this is no alarm: {error}")))?;
    if value.get("AlarmArn").is_none() {
        return Err(no_alarm("this is no alarm: it has no AlarmArn".to_owned()));
    }
    // Paths within the message count from its own root.
    alarm(&Node::root(&value), rules, now).map_err(|refusal| Refusal {
        path: format!("{}{}", message.path(), refusal.path.trim_start_matches('$')),
        ..refusal
    })
}

fn alarm(alarm: &Node<'_>, rules: &Rules, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    let limits = &rules.limits;
    let arn = alarm.required("AlarmArn")?.filled(limits.text_bytes_max)?;
    let state = alarm.required("NewStateValue")?;
    let status = match state.string()? {
        "ALARM" => AlertStatus::Firing,
        "OK" => AlertStatus::Resolved,
        "INSUFFICIENT_DATA" => return Ok(None),
        _ => return Err(state.refuse(format!("{} is no state", state.found()), "CloudWatch sends OK or ALARM")),
    };
    let at_ms = time::optional(alarm, "StateChangeTime")?.unwrap_or(now.0).min(now.0);
    let mut told = details::Told::default();
    let name = alarm.required("AlarmName")?.filled(limits.label_value_bytes_max)?;
    told.label("alertname", name);
    for (label, field) in [("account", "AWSAccountId"), ("region", "Region")] {
        if let Some(text) = alarm.optional_text(field, limits.label_value_bytes_max)? {
            told.label(label, &text);
        }
    }
    let trigger = alarm.field("Trigger");
    for (label, field) in [("metric", "MetricName"), ("metric_namespace", "Namespace")] {
        if let Some(trigger) = &trigger
            && let Some(text) = trigger.optional_text(field, limits.label_value_bytes_max)?
        {
            told.label(label, &text);
        }
    }
    for (name, value) in trigger.iter().flat_map(dimensions) {
        told.labels.entry(name).or_insert(value);
    }
    let reason = alarm.optional_text("NewStateReason", usize::MAX)?.unwrap_or_default();
    let description = alarm.optional_text("AlarmDescription", usize::MAX)?;
    told.annotate("summary", description.as_deref().unwrap_or(&reason));
    told.annotate("description", &reason);
    let (labels, annotations) = told.within(limits);
    Ok(Some(Fact::Alert(Alert {
        starts_at_ms: at_ms,
        ends_at_ms: (status == AlertStatus::Resolved).then_some(at_ms),
        status,
        value: datapoint(&reason),
        episode: Some(arn.to_owned().into()),
        ..rules.mapping.alert("cloudwatch", fingerprint::of_parts(&[arn]), labels, annotations)
    })))
}

/// `[{"name": "InstanceId", "value": "i-1"}, …]`
fn dimensions(trigger: &Node<'_>) -> Vec<(String, String)> {
    let listed = trigger.value.get("Dimensions").and_then(Value::as_array);
    let pair = |dimension: &Value| {
        Some((dimension.get("name")?.as_str()?.to_owned(), dimension.get("value")?.as_str()?.to_owned()))
    };
    listed.into_iter().flatten().filter_map(pair).collect()
}

/// The measured value stands only in words: `1 datapoint [9.2 (23/11/26 08:58:00)] was greater than the threshold (1.0).`
fn datapoint(reason: &str) -> Option<f64> {
    let (_, rest) = reason.split_once('[')?;
    let number = rest.split([' ', ',', ']']).next()?;
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_own_certificates_are_asked_for() {
        let value = Value::Null;
        let of = |path: &str| {
            let place = Place::of(&format!("https://sns.eu-west-1.amazonaws.com/{path}")).unwrap();
            place.of_certificate(&Node::root(&value)).is_ok()
        };
        assert!(of("SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"));
        for path in [
            "a.pem",
            "SimpleNotificationService-.pem",
            "SimpleNotificationService-0.pem?Action=x",
            "?Action=ConfirmSubscription&Token=SimpleNotificationService-0.pem",
            "x/SimpleNotificationService-0.pem",
            "SimpleNotificationService-/../0.pem",
        ] {
            assert!(!of(path), "{path}");
        }
    }

    #[test]
    fn only_amazons_own_addresses_are_places() {
        for url in [
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0.pem",
            "https://sns.us-gov-west-1.amazonaws.com/?Action=ConfirmSubscription",
        ] {
            assert_eq!(Place::of(url).map(|place| place.url().to_owned()).as_deref(), Some(url));
        }
        for url in [
            "http://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com",
            "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
            "https://evil.example/https://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
            "https://sns.bucket.s3.amazonaws.com/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://sns.evil?.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com/\\@evil.example/a.pem",
            "https://sns.eu-west-1.amazonaws.com/a b",
            "https://s3.eu-west-1.amazonaws.com/a.pem",
            "",
        ] {
            assert_eq!(Place::of(url), None, "{url}");
        }
    }
}
