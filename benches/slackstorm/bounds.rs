//! What Slack's limits allow, computed from when the actions came and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use fairlead::event::{Level, SlackAction, SlackActionKind};
use fairlead::record::EventTime;

/// A channel takes a post a second, a workspace ten, and `chat.update` one in 1.25 s: what the sink keeps to.
const POST_IN_CHANNEL_MS: i64 = 1_000;
const POST_MS: i64 = 100;
const UPDATE_MS: i64 = 1_250;
/// Two commits of the sink, the way to Slack, and the commit of the operators before.
const OVERHEAD_MS: i64 = 100 + 2 * 15 + 150;
/// Calls that are on their way when the last action comes.
const CALLS_MAX: i64 = 12;

/// Latest moments, in milliseconds.
pub struct Bounds {
    /// For each Critical root: from its alert to Slack, if every bucket is empty when it comes and nothing but Critical roots that
    /// came before it goes first.
    pub critical_roots: BTreeMap<String, i64>,
    /// From the last action until all is told.
    pub convergence: i64,
}

pub fn of(actions: &[(EventTime, SlackAction)]) -> Bounds {
    let is_critical_root =
        |action: &SlackAction| action.kind == SlackActionKind::PostRoot && action.level == Level::Critical;
    let mut channels: BTreeMap<&str, EventTime> = BTreeMap::new();
    let mut workspace = EventTime(i64::MIN);
    let mut critical_roots = BTreeMap::new();
    for (at, action) in actions.iter().filter(|(_, action)| is_critical_root(action)) {
        let channel = channels.entry(&action.channel).or_insert(EventTime(i64::MIN));
        *channel = (*channel).max(*at).plus_ms(POST_IN_CHANNEL_MS);
        workspace = workspace.max(*at).plus_ms(POST_MS);
        let latest = (*channel).max(workspace).since_ms(EventTime(action.created_at_ms)) + OVERHEAD_MS;
        critical_roots.insert(action.id.clone(), latest);
    }
    let mut posts: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut all, mut roots) = (0, 0);
    // A log is posted once.
    let logs: BTreeSet<_> =
        actions.iter().filter(|(_, action)| action.kind == SlackActionKind::Log).map(|(_, a)| &a.incident_id).collect();
    let is_log_post = |action: &SlackAction| action.kind == SlackActionKind::Log && action.version == 1;
    let posted = |action: &SlackAction| !action.kind.rewrites() || is_log_post(action);
    for (_, action) in actions.iter().filter(|(_, action)| posted(action)) {
        *posts.entry(&action.channel).or_default() += 1;
        all += 1;
        roots += i64::from(action.kind == SlackActionKind::PostRoot);
    }
    let most = posts.values().max().copied().unwrap_or(0);
    // If all of it came at the end: every post, and of every root and log a rewriting that must be told and one that waits before it.
    let posting = (most * POST_IN_CHANNEL_MS).max(all * POST_MS);
    let rewritten = roots + logs.len() as i64;
    let convergence = posting + (2 * rewritten + CALLS_MAX) * UPDATE_MS + OVERHEAD_MS;
    Bounds { critical_roots, convergence }
}
