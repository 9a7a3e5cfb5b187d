//! What each endpoint asks of a sender: the bearer token, or the proof that its sender can give instead.
//!
//! Two steps: what the headers alone can show is asked before any body is read, what is in or over the body before anything
//! of it is parsed. Invariant: an endpoint whose sender cannot send a token is not served at all until its secret is
//! configured.

use std::sync::Arc;

use super::access::Access;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::pagerduty::RoutingKeys;
use super::signature::Secrets;
use super::sns::proof::{Failure, Subscriptions};
use super::{Rules, pagerduty};
use crate::record::EventTime;

/// How far a signed time may lie from ours: longer than any delivery takes, and a recorded one is of no use after it.
const SIGNED_WITHIN_SECS: i64 = 300;

/// Proofs beside the bearer token.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// Asked instead of the token.
    pub grafana: Option<Signature>,
    pub github: Option<Signature>,
    pub sns: Option<Arc<Subscriptions>>,
}

/// A signature over the raw body in a header.
#[derive(Clone, Debug)]
pub struct Signature {
    pub secrets: Secrets,
    pub header: String,
    /// Stands before the hexadecimal signature.
    pub prefix: &'static str,
    /// This header's time, in seconds, is signed with the body: `<time>:<body>`.
    pub timestamp_header: Option<String>,
}

/// What one request has to show.
pub(super) enum Proof<'g> {
    Token(&'g Access),
    Signature(&'g Signature),
    /// In the body.
    RoutingKey(&'g RoutingKeys),
    /// By a certificate.
    Sns(&'g Subscriptions),
}

/// What is missing, in words for the sender that tell nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    pub problem: String,
    pub mend: String,
    /// A bearer token is what is asked for.
    pub bearer: bool,
}

impl Guards {
    /// `None`: the endpoint is not switched on.
    pub(super) fn proof<'g>(&'g self, endpoint: Endpoint, token: &'g Access, rules: &'g Rules) -> Option<Proof<'g>> {
        match endpoint {
            Endpoint::PagerDutyAlerts | Endpoint::PagerDutyChanges => {
                let keys = &rules.routing_keys;
                (!keys.is_empty()).then_some(Proof::RoutingKey(keys))
            }
            Endpoint::Json => (!rules.json.is_empty()).then_some(Proof::Token(token)),
            Endpoint::Sns => self.sns.as_deref().map(Proof::Sns),
            Endpoint::GitHub => self.github.as_ref().map(Proof::Signature),
            Endpoint::Grafana => Some(self.grafana.as_ref().map_or(Proof::Token(token), Proof::Signature)),
            Endpoint::AlertmanagerWebhook
            | Endpoint::AlertmanagerApi
            | Endpoint::CloudEvents
            | Endpoint::Datadog
            | Endpoint::Deploys => Some(Proof::Token(token)),
        }
    }
}

impl Proof<'_> {
    /// Whether the body must be there before its sender is known.
    pub fn is_by_body(&self) -> bool {
        !matches!(self, Proof::Token(_))
    }

    /// By the headers alone. `header` finds a header by its name.
    pub fn by_headers<'h>(&self, header: impl Fn(&str) -> Option<&'h str>) -> Result<(), Unproven> {
        match self {
            Proof::Token(access) if access.allows(header("authorization")) => Ok(()),
            Proof::Token(_) => Err(Unproven {
                problem: "no valid bearer token".to_owned(),
                mend: "send the header Authorization: Bearer <token> with a token from the server's configuration"
                    .to_owned(),
                bearer: true,
            }),
            Proof::Signature(signature) => signature.told(&header).map(drop),
            Proof::RoutingKey(_) | Proof::Sns(_) => Ok(()),
        }
    }

    /// With the body as it was received.
    pub async fn by_body<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: EventTime,
    ) -> Result<(), Answer> {
        match self {
            Proof::Token(_) => Ok(()),
            Proof::Signature(signature) => Ok(signature.check(&header, body, now)?),
            Proof::Sns(subscriptions) => subscriptions.admit(body, now).await.map_err(|failure| match failure {
                Failure::Unavailable(problem) => Answer::Unjudged(problem),
                Failure::Unproven(problem) => Answer::Unproven(Unproven {
                    problem,
                    mend: "name the topic under `ingest.sns.topics` in the topology, and let SNS alone send here"
                        .to_owned(),
                    bearer: false,
                }),
            }),
            Proof::RoutingKey(keys)
                if pagerduty::routing_key(body).is_some_and(|key| keys.service_of(&key).is_some()) =>
            {
                Ok(())
            }
            Proof::RoutingKey(_) => Err(Answer::Unproven(Unproven {
                problem: "no known routing key".to_owned(),
                mend: "send \"routing_key\" with a key from the server's configuration".to_owned(),
                bearer: false,
            })),
        }
    }
}

impl Signature {
    /// The signature and the time that it was made at, as far as that is asked for.
    fn told<'h>(&self, header: &impl Fn(&str) -> Option<&'h str>) -> Result<(&'h str, Option<&'h str>), Unproven> {
        let missing = |name: &str| self.unproven(format!("the header {name} is missing or is no signature's"));
        let told = header(&self.header).and_then(|told| told.strip_prefix(self.prefix));
        let told = told.ok_or_else(|| missing(&self.header))?;
        match &self.timestamp_header {
            Some(name) => Ok((told, Some(header(name).ok_or_else(|| missing(name))?))),
            None => Ok((told, None)),
        }
    }

    fn check<'h>(
        &self,
        header: &impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: EventTime,
    ) -> Result<(), Unproven> {
        let (told, time) = self.told(header)?;
        let signed = match time {
            Some(time) => self.secrets.signed(&[time.as_bytes(), b":", body], told),
            None => self.secrets.signed(&[body], told),
        };
        if !signed {
            return Err(self.unproven("the signature is not that of this body by the configured secret".to_owned()));
        }
        let is_near = |time: &str| {
            let signed_at: Option<i64> = time.trim().parse().ok();
            signed_at.is_some_and(|at| (now.0 / 1_000).abs_diff(at) <= SIGNED_WITHIN_SECS.unsigned_abs())
        };
        if time.is_some_and(|time| !is_near(time)) {
            return Err(self.unproven(format!("it was not signed within the last {SIGNED_WITHIN_SECS} seconds")));
        }
        Ok(())
    }

    fn unproven(&self, problem: String) -> Unproven {
        let mend = format!(
            "sign the body with the secret from the server's configuration, in the header {}, and let nothing on the way \
             change the body",
            self.header
        );
        Unproven { problem, mend, bearer: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EventTime = EventTime(1_795_424_400_123);
    const BODY: &[u8] = b"{\"version\":\"1\"}";
    /// By `openssl dgst -sha256 -hmac a-secret-for-the-tests`, of the body and of `<time>:<body>`.
    const OF_BODY: &str = "a146bb2e51d5368cd3c49d58ec0726aed3b00ffbe7292d227e81c5bb03845882";
    const OF_TIME_AND_BODY: &str = "96b976ac44c21c6b6f18103c9a89b964d2cc2ecd69a0f6d4951bbc7a66fc2fe6";

    fn signature(timestamp_header: Option<&str>) -> Signature {
        Signature {
            secrets: Secrets::new(["a-secret-for-the-tests"]),
            header: "X-Sig".to_owned(),
            prefix: "",
            timestamp_header: timestamp_header.map(str::to_owned),
        }
    }

    fn check(signature: &Signature, headers: &[(&str, &str)], now: EventTime) -> Result<(), String> {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let shown = Proof::Signature(signature).by_headers(header).and_then(|()| signature.check(&header, BODY, now));
        shown.map_err(|unproven| format!("{}; {}", unproven.problem, unproven.mend))
    }

    #[test]
    fn a_signed_body_passes_and_any_other_is_told_what_is_wrong_without_a_secret() {
        let plain = signature(None);
        assert_eq!(check(&plain, &[("X-Sig", OF_BODY)], NOW), Ok(()));
        for (headers, said) in [
            (vec![], "the header X-Sig is missing"),
            (vec![("X-Sig", OF_TIME_AND_BODY)], "is not that of this body"),
            (vec![("X-Sig", "")], "is not that of this body"),
        ] {
            let told = check(&plain, &headers, NOW).unwrap_err();
            assert!(told.contains(said) && !told.contains("a-secret") && !told.contains(OF_BODY), "{told}");
        }
        let prefixed = Signature { prefix: "sha256=", ..signature(None) };
        assert!(check(&prefixed, &[("X-Sig", OF_BODY)], NOW).unwrap_err().contains("is no signature's"));
        assert_eq!(check(&prefixed, &[("X-Sig", &format!("sha256={OF_BODY}"))], NOW), Ok(()));
    }

    #[test]
    fn a_signed_time_must_be_near_and_is_part_of_what_is_signed() {
        let timed = signature(Some("X-Time"));
        let at = |time, ms| check(&timed, &[("X-Sig", OF_TIME_AND_BODY), ("X-Time", time)], EventTime(NOW.0 + ms));
        assert_eq!(at("1795424400", 0), Ok(()));
        assert_eq!((at("1795424400", 299_000), at("1795424400", -299_000)), (Ok(()), Ok(())));
        assert!(at("1795424400", 302_000).unwrap_err().contains("within the last 300 seconds"));
        assert!(at("1795424401", 0).unwrap_err().contains("is not that of this body"));
        assert!(check(&timed, &[("X-Sig", OF_BODY)], NOW).unwrap_err().contains("X-Time is missing"));
    }

    #[tokio::test]
    async fn without_its_secret_an_endpoint_of_its_own_proof_is_not_there() {
        let guards = Guards::default();
        let mut rules = Rules::default();
        for endpoint in [Endpoint::GitHub, Endpoint::PagerDutyAlerts, Endpoint::PagerDutyChanges, Endpoint::Sns] {
            assert!(guards.proof(endpoint, &Access::Open, &rules).is_none(), "{endpoint:?}");
        }
        assert!(matches!(guards.proof(Endpoint::Grafana, &Access::Open, &rules), Some(Proof::Token(_))));
        let guards = Guards { grafana: Some(signature(None)), ..Guards::default() };
        assert!(matches!(guards.proof(Endpoint::Grafana, &Access::Open, &rules), Some(Proof::Signature(_))));
        rules.routing_keys = RoutingKeys::new([("checkout", "a-key-for-the-tests")]);
        let proof = guards.proof(Endpoint::PagerDutyAlerts, &Access::Open, &rules).unwrap();
        let passes = async |body: &str| proof.by_body(|_| None, body.as_bytes(), NOW).await.is_ok();
        assert!(passes(r#"{"routing_key": "a-key-for-the-tests", "payload": {}}"#).await);
        for body in ["", "[]", "{}", r#"{"routing_key": "a-key"}"#, r#"{"routing_key": 7}"#] {
            assert!(!passes(body).await, "{body}");
        }
    }
}
