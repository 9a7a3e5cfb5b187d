//! Slack's signature: over `v0:<time>:<body>`, the body as it came, and within five minutes of now.

use super::super::signature::Secrets;
use crate::record::EventTime;

const WITHIN_SECS: u64 = 300;

/// `header` finds a header by its lower-case name. What is wrong, in words that tell nothing of the secret.
pub fn check<'h>(
    secrets: &Secrets,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    now: EventTime,
) -> Result<(), &'static str> {
    let told = header("x-slack-signature").and_then(|told| told.strip_prefix("v0="));
    let (Some(told), Some(time)) = (told, header("x-slack-request-timestamp")) else {
        return Err("the headers X-Slack-Signature and X-Slack-Request-Timestamp are missing or not Slack's");
    };
    if !secrets.signed(&[b"v0:", time.as_bytes(), b":", body], told) {
        return Err("the signature is not that of this body by the configured signing secret");
    }
    let is_near = time.trim().parse().is_ok_and(|at: i64| (now.0 / 1_000).abs_diff(at) <= WITHIN_SECS);
    if is_near { Ok(()) } else { Err("it was not signed within the last 300 seconds") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's page on verifying requests.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn told(signature: &str, time: &str, body: &str, now_secs: i64) -> Result<(), &'static str> {
        let header = |name: &str| match name {
            "x-slack-signature" => Some(signature),
            "x-slack-request-timestamp" => Some(time),
            _ => None,
        };
        check(&Secrets::new([SECRET]), header, body.as_bytes(), EventTime(now_secs * 1_000 + 999))
    }

    #[test]
    fn slacks_own_example_passes_for_five_minutes_and_nothing_altered_does() {
        let at = 1_531_420_618;
        for now in [at, at + 300, at - 300] {
            assert_eq!(told(SIGNATURE, TIME, BODY, now), Ok(()));
        }
        for now in [at + 301, at - 301] {
            assert!(told(SIGNATURE, TIME, BODY, now).unwrap_err().contains("300 seconds"));
        }
        for at_byte in [0, 17, BODY.len() - 1] {
            let mut altered = BODY.as_bytes().to_vec();
            altered[at_byte] ^= 1;
            let altered = String::from_utf8(altered).unwrap();
            assert!(told(SIGNATURE, TIME, &altered, at).unwrap_err().contains("not that of this body"));
        }
        assert!(told(SIGNATURE, "1531420619", BODY, at).is_err());
        assert!(told(&SIGNATURE[3..], TIME, BODY, at).unwrap_err().contains("missing"));
        assert!(told("v0=", TIME, BODY, at).is_err() && told("v1=00", TIME, BODY, at).is_err());
    }
}
