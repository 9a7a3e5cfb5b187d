//! How a trend looks behind the words of its alert: `, 4 min after deploy api@1f3c  ▁▁▂▃▅█`; and as a picture below all alerts.
//!
//! Slack fetches a picture from its link when the message is posted or rewritten. The link is made of what the chart says and of nothing
//! else, so a rewriting that shows the same has the same link. What the alert says and the name of a deploy are foreign text and are escaped; the sparkline too, for anybody may annotate an alert.

use super::text::{escaped, plain};
use crate::event::words::span;
use crate::event::{AlertStatus, AlertTrend, Incident, IncidentAlert, Suspect};
use crate::trend::chart::Chart;

const SPARKLINE_CHARS: usize = 60;
const NAME_CHARS: usize = 60;
/// Of the words for who does not see a picture.
const WORDS_CHARS: usize = 500;
/// Slack takes no longer link.
const LINK_CHARS_MAX: usize = 3_000;
/// Of a commit's hash, as people read it.
const REVISION_CHARS: usize = 8;

pub fn line(trend: &AlertTrend, alert: &IncidentAlert, top: Option<&Suspect>) -> String {
    let mut line = top.and_then(|top| after_deploy(alert, top)).unwrap_or_default();
    if !trend.sparkline.is_empty() {
        line += &format!("  {}", escaped(&trend.sparkline, SPARKLINE_CHARS));
    }
    line
}

/// Words and link of the picture of the worst trend that fires and has one.
pub fn picture(incident: &Incident, base: &str) -> Option<(String, String)> {
    let mut firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing);
    // Anybody may annotate an alert: only what is a chart becomes part of a link.
    let charted = |alert: &'_ IncidentAlert| Chart::parse(&alert.trend.as_ref()?.chart).ok();
    let (alert, chart) = firing.find_map(|alert| Some((alert, charted(alert)?)))?;
    let link = chart.link(base);
    (link.len() <= LINK_CHARS_MAX).then(|| (plain(&format!("{}: {}", alert.name, alert.summary), WORDS_CHARS), link))
}

/// Whether all that fires is on its way back.
pub fn recovers(incident: &Incident) -> bool {
    let mut firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing).peekable();
    incident.alerts_omitted == 0 && firing.peek().is_some() && firing.all(is_recovering)
}

pub fn is_recovering(alert: &IncidentAlert) -> bool {
    alert.status == AlertStatus::Firing && alert.trend.as_ref().is_some_and(|trend| trend.recovering)
}

/// Nothing of a deploy that came later: it is no cause of this.
fn after_deploy(alert: &IncidentAlert, top: &Suspect) -> Option<String> {
    let after_ms = alert.starts_at_ms.checked_sub(top.effective_at_ms).filter(|after_ms| *after_ms >= 0)?;
    let version = match &top.revision {
        Some(revision) => revision.chars().take(REVISION_CHARS).collect(),
        None => top.version.clone(),
    };
    let (service, version) = (escaped(&top.service, NAME_CHARS), escaped(&version, NAME_CHARS));
    Some(format!(", {} after deploy {service}@{version}", span(after_ms)))
}
