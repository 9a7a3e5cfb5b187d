//! What people answer, and what became of the runs they asked for.
//!
//! A response is heard once, by its id; one that finds things as it asks, or an incident that is not open, says nothing.

use super::log::NAME_CHARS_MAX;
use super::memory::{Answered, DAY_MS, Known, Silence, Snooze, State};
use super::mute::silence_name;
use super::{Attend, Event};
use crate::event::words::{clipped, identity, short_hash, span};
use crate::event::{ActionRun, IncidentChange, IncidentRun, MuteKind, Response, ResponseVerb, RunStatus};
use crate::record::EventTime;

const RUNS_MAX: usize = 10;
const COMMENT_CHARS_MAX: usize = 200;
const OUTPUT_CHARS_MAX: usize = 1_000;
const FINGERPRINTS_MAX: usize = 200;
/// Whoever wants quiet for longer asks for a silence.
const SNOOZE_MS_MAX: i64 = 7 * DAY_MS;

impl Attend {
    pub fn respond(&self, state: &State, response: &Response, at: EventTime) -> Vec<Event> {
        if state.has_answered(&response.id) {
            return Vec::new();
        }
        let answered = Event::Answered(Answered { response: short_hash(&response.id), at_ms: at.0 });
        if let ResponseVerb::Silence | ResponseVerb::Unsilence = response.verb {
            let events = self.silence(state, response, at);
            return if events.is_empty() { events } else { std::iter::once(answered).chain(events).collect() };
        }
        let known = response.incident_id.as_deref().and_then(|id| state.incident(id));
        let Some(known) = known.filter(|known| known.is_open()) else { return Vec::new() };
        let mut next = known.anew();
        let by = name(response);
        let change = match response.verb {
            ResponseVerb::Acknowledge => next.acknowledge(&by, at),
            ResponseVerb::Unacknowledge => next.unacknowledge(&by, at),
            ResponseVerb::Assign => next.assign(response, &by, at),
            ResponseVerb::Snooze => next.snooze(response, &by, at),
            ResponseVerb::Unsnooze => next.unsnooze(&by, at),
            ResponseVerb::Run => return self.run(state, next, response, at).into_iter().chain([answered]).collect(),
            ResponseVerb::Silence | ResponseVerb::Unsilence => None,
        };
        let told = change.map(|change| self.tell(self.settled(next, change, state.quiet(), at)));
        told.into_iter().chain([answered]).collect()
    }

    /// One run of an action, unless it already runs, or who asks did not see that it was asked for: a second press is no second wish.
    fn run(&self, state: &State, mut next: Known, response: &Response, at: EventTime) -> Vec<Event> {
        let Some(action) = response.action.as_deref().map(|action| clipped(action, NAME_CHARS_MAX)) else {
            return Vec::new();
        };
        let by = name(response);
        let runs = &mut next.attention_mut().runs;
        let unfinished = runs.iter().filter(|run| !is_over(run.status));
        let unseen = |run: &IncidentRun| response.version > 0 && response.version < run.version;
        let refused = if unfinished.clone().any(|run| run.action == action) {
            Some("which already runs")
        } else if runs.iter().any(|run| run.action == action && unseen(run)) {
            Some("which somebody had asked for already")
        } else {
            (unfinished.count() >= RUNS_MAX).then_some("but too much runs already")
        };
        let mut requested = None;
        if let Some(why) = refused {
            next.log_by(&by, &format!("asked for {action}, {why}"), at);
        } else {
            let run = ActionRun {
                id: response.id.clone(),
                service: response.service.clone(),
                incident_id: next.snapshot.id.clone(),
                action,
                by,
                status: RunStatus::Requested,
                at_ms: at.0,
                result: None,
                output: None,
            };
            next.request(&run, at);
            requested = Some(Event::Requested(Box::new(run)));
        }
        let told = self.tell(self.settled(next, IncidentChange::Noted, state.quiet(), at));
        std::iter::once(told).chain(requested).collect()
    }

    /// How far a run is, of an incident that is remembered. That it is requested was said here.
    pub fn ran(&self, state: &State, run: &ActionRun, at: EventTime) -> Vec<Event> {
        let id = identity(&run.id);
        let Some(known) = state.incident(&run.incident_id) else { return Vec::new() };
        let mut next = known.anew();
        let runs = &mut next.attention_mut().runs;
        let Some(before) = runs.iter_mut().find(|before| before.id == id && rank(before.status) < rank(run.status))
        else {
            return Vec::new();
        };
        before.status = run.status;
        before.at_ms = at.0;
        before.result = run.result.as_deref().map(|text| clipped(text, COMMENT_CHARS_MAX));
        before.output = run.output.as_deref().map(|text| clipped(text, OUTPUT_CHARS_MAX));
        let result = before.result.as_ref().map(|result| format!(": {result}")).unwrap_or_default();
        let status = match run.status {
            RunStatus::Requested | RunStatus::Started => "started",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Unknown => "was started, and nobody knows how it ended",
        };
        let text = format!("{} {status}{result}", before.action);
        next.log(&text, at);
        vec![self.tell(self.settled(next, IncidentChange::Noted, state.quiet(), at))]
    }

    /// A silence that begins, goes on or ends, and what that means for open incidents.
    fn silence(&self, state: &State, response: &Response, at: EventTime) -> Vec<Event> {
        let Some(id) = response.silence_id.as_deref().map(identity) else { return Vec::new() };
        let before = state.silences.iter().find(|silence| silence.id == id);
        let silence = if response.verb == ResponseVerb::Unsilence {
            let until_ms = before.map_or(at.0, |before| before.until_ms);
            let reason = before.map_or_else(|| silence_name(&id), |before| before.reason.clone());
            Silence { id, until_ms, reason, fingerprints: Vec::new(), ended_at_ms: Some(at.0) }
        } else {
            let Some(until_ms) = response.until_ms.filter(|until| *until > at.0) else { return Vec::new() };
            let mut fingerprints: Vec<_> =
                response.fingerprints.iter().map(|fingerprint| short_hash(&identity(fingerprint))).collect();
            fingerprints.extend(before.iter().flat_map(|before| &before.fingerprints));
            fingerprints.sort_unstable();
            fingerprints.dedup();
            fingerprints.truncate(FINGERPRINTS_MAX);
            let reason = format!("{} by {}{}", silence_name(&id), name(response), comment(response));
            Silence { id, until_ms, reason, fingerprints, ended_at_ms: None }
        };
        if before == Some(&silence)
            || before.is_some_and(|before| before.ended_at_ms.is_some() && silence.ended_at_ms.is_some())
        {
            return Vec::new();
        }
        let mut silences = state.silences.clone();
        silences.retain(|other| other.id != silence.id);
        silences.push(silence.clone());
        let quiet = super::mute::Quiet { silences: &silences, ..state.quiet() };
        std::iter::once(Event::Silenced(silence)).chain(self.judged(state, quiet, at)).collect()
    }
}

impl Known {
    fn request(&mut self, run: &ActionRun, at: EventTime) {
        let version = self.snapshot.version;
        let runs = &mut self.attention_mut().runs;
        if runs.len() >= RUNS_MAX
            && let Some(oldest) = runs.iter().position(|run| is_over(run.status))
        {
            runs.remove(oldest);
        }
        runs.push(IncidentRun {
            id: identity(&run.id),
            action: run.action.clone(),
            by: run.by.clone(),
            status: RunStatus::Requested,
            at_ms: at.0,
            result: None,
            output: None,
            version,
        });
        self.log_by(&run.by, &format!("asked for {}", run.action), at);
    }

    fn acknowledge(&mut self, by: &str, at: EventTime) -> Option<IncidentChange> {
        if self.is_acknowledged() {
            return None;
        }
        self.log_by(by, "acknowledged it", at);
        let attention = self.attention_mut();
        attention.acknowledged_by = Some(by.to_owned());
        attention.acknowledged_at_ms = Some(at.0);
        Some(IncidentChange::Acknowledged)
    }

    fn unacknowledge(&mut self, by: &str, at: EventTime) -> Option<IncidentChange> {
        if !self.is_acknowledged() {
            return None;
        }
        self.log_by(by, "gave it back", at);
        let attention = self.attention_mut();
        attention.acknowledged_by = None;
        attention.acknowledged_at_ms = None;
        self.wait_anew(at);
        Some(IncidentChange::Unacknowledged)
    }

    fn assign(&mut self, response: &Response, by: &str, at: EventTime) -> Option<IncidentChange> {
        let assignee = response.assignee.as_deref().map(|id| clipped(id, NAME_CHARS_MAX));
        if self.attention_mut().assignee == assignee {
            return None;
        }
        match &assignee {
            Some(assignee) => self.log_by(by, &format!("assigned it to {assignee}"), at),
            None => self.log_by(by, "assigned it to nobody", at),
        }
        self.attention_mut().assignee = assignee;
        Some(IncidentChange::Assigned)
    }

    fn snooze(&mut self, response: &Response, by: &str, at: EventTime) -> Option<IncidentChange> {
        let until_ms = response.until_ms?.min(at.0.saturating_add(SNOOZE_MS_MAX));
        if until_ms <= at.0 || self.snooze.as_ref().is_some_and(|snooze| snooze.until_ms == until_ms) {
            return None;
        }
        let comment = comment(response);
        self.log_by(by, &format!("snoozed it for {}{comment}", span(until_ms.saturating_sub(at.0))), at);
        let reason = format!("{by} snoozed it{comment}");
        self.snooze = Some(Snooze { until_ms, level: self.snapshot.level, reason });
        Some(IncidentChange::Noted)
    }

    fn unsnooze(&mut self, by: &str, at: EventTime) -> Option<IncidentChange> {
        self.snooze.take().filter(|snooze| snooze.until_ms > at.0)?;
        self.log_by(by, "ended the snooze", at);
        Some(IncidentChange::Noted)
    }

    pub fn awaits_a_run(&self) -> bool {
        self.attention().is_some_and(|attention| attention.runs.iter().any(|run| !is_over(run.status)))
    }

    /// Why people were not told until now, for the log; none if who ended it is there already.
    pub fn quiet_is_over(&self, was: MuteKind) -> Option<&'static str> {
        match was {
            MuteKind::Snoozed => self.snooze.as_ref().map(|_| "the snooze is over"),
            MuteKind::Silenced => Some("not all that fires is silenced any more"),
            MuteKind::Maintenance => Some("the maintenance is over"),
            MuteKind::Symptom => Some("what it was a symptom of is over, or tells nobody"),
        }
    }
}

fn name(response: &Response) -> String {
    clipped(response.by_name.as_deref().unwrap_or(&response.by), NAME_CHARS_MAX)
}

fn comment(response: &Response) -> String {
    let said = response.comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty());
    said.map(|comment| format!(": {}", clipped(comment, COMMENT_CHARS_MAX))).unwrap_or_default()
}

fn is_over(status: RunStatus) -> bool {
    rank(status) == 2
}

fn rank(status: RunStatus) -> u8 {
    match status {
        RunStatus::Requested => 0,
        RunStatus::Started => 1,
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Unknown => 2,
    }
}
