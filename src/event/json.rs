//! Facts as plain JSON, field by field as their schemas name them: for files that people and other programs read.
//!
//! What JSON cannot say (not a number, the infinities) comes back as another fact: who must not lose it compares.

use serde_json::{from_str, to_string};

use super::{Fact, FactKind};

impl Fact<'_> {
    /// `None`: a fact of an own kind is its Avro body, and a payload is bytes of somebody else's.
    pub fn to_json(&self) -> Option<String> {
        let json = match self {
            Fact::Alert(alert) => to_string(alert),
            Fact::Deploy(deploy) => to_string(deploy),
            Fact::Incident(incident) => to_string(incident),
            Fact::SlackAction(action) => to_string(action),
            Fact::SlackOutcome(outcome) => to_string(outcome),
            Fact::Response(response) => to_string(response),
            Fact::ActionRun(run) => to_string(run),
            Fact::Cause(cause) => to_string(cause),
            Fact::Silence(silence) => to_string(silence),
            Fact::Rotation(rotation) => to_string(rotation),
            Fact::MirrorRange(range) => to_string(range),
            Fact::GroupOffset(offset) => to_string(offset),
            Fact::Audit(audit) => to_string(audit),
            Fact::Sample(sample) => to_string(sample),
            Fact::Payload(_) | Fact::Own(_) => return None,
        };
        json.ok()
    }
}

impl FactKind {
    /// Fields that are left out have the schema's defaults. Fails with what does not fit.
    pub fn read_json(self, json: &str) -> Result<Fact<'static>, String> {
        let fact = match self {
            FactKind::Alert => from_str(json).map(Fact::Alert),
            FactKind::Deploy => from_str(json).map(Fact::Deploy),
            FactKind::Incident => from_str(json).map(Fact::Incident),
            FactKind::SlackAction => from_str(json).map(Fact::SlackAction),
            FactKind::SlackOutcome => from_str(json).map(Fact::SlackOutcome),
            FactKind::Response => from_str(json).map(Fact::Response),
            FactKind::ActionRun => from_str(json).map(Fact::ActionRun),
            FactKind::Cause => from_str(json).map(Fact::Cause),
            FactKind::Silence => from_str(json).map(Fact::Silence),
            FactKind::Rotation => from_str(json).map(Fact::Rotation),
            FactKind::MirrorRange => from_str(json).map(Fact::MirrorRange),
            FactKind::GroupOffset => from_str(json).map(Fact::GroupOffset),
            FactKind::Audit => from_str(json).map(Fact::Audit),
            FactKind::Sample => from_str(json).map(Fact::Sample),
            FactKind::Payload => return Err("a payload as it was received has no JSON".to_owned()),
            FactKind::Own(own) => return Err(format!("a fact of kind {} has no JSON", own.name)),
        };
        fact.map(Fact::into_owned).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_comes_back_from_json_and_what_does_not_fit_is_told() {
        let json = include_str!("../../schemas/examples/alert/unicode.json");
        let fact = FactKind::Alert.read_json(json).unwrap();
        assert_eq!(FactKind::Alert.read_json(&fact.to_json().unwrap()).unwrap(), fact);
        assert!(FactKind::Deploy.read_json(json).unwrap_err().contains("missing field"));
    }
}
