//! Channels as text for a terminal: each thread as a person would see it in Slack.

use std::fmt::Write;

use serde_json::Value;

use super::clicks::Ephemeral;
use super::message::{Channel, Message, Ts};

pub fn channels<'a>(channels: impl Iterator<Item = &'a Channel>) -> String {
    let mut out = String::new();
    for channel in channels.filter(|channel| !channel.messages.is_empty()) {
        let _ = writeln!(out, "#{}", channel.name);
        for (ts, root) in channel.roots() {
            out.push('\n');
            message(&mut out, ts, root, "  ");
            for (ts, reply) in channel.replies(ts) {
                message(&mut out, ts, reply, "    │ ");
            }
        }
        out.push('\n');
    }
    out
}

/// What only who clicked sees.
pub fn ephemerals(lines: &[Ephemeral]) -> String {
    lines.iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "only {} sees: {}", line.user, mrkdwn(&line.text));
        out
    })
}

fn message(out: &mut String, ts: Ts, message: &Message, indent: &str) {
    let author = if message.bot_id.is_some() { "fairlead" } else { "someone" };
    let edited = message.edited.map(|at| format!(" (edited {})", clock(at))).unwrap_or_default();
    let broadcast = if message.broadcast { ", also to the channel" } else { "" };
    let _ = writeln!(out, "{indent}{} {author}{broadcast}{edited}", clock(ts));
    for line in body(&message.text, &message.blocks).lines() {
        let _ = writeln!(out, "{}", format!("{indent}{line}").trim_end());
    }
    if !message.reactions.is_empty() {
        let reactions: Vec<_> = message.reactions.iter().map(|name| emoji(name)).collect();
        let _ = writeln!(out, "{indent}{}", reactions.join(" "));
    }
}

/// As in Slack: the text is only a fallback once there are blocks.
pub fn body(text: &str, blocks: &[Value]) -> String {
    match blocks {
        [] => mrkdwn(text),
        blocks => blocks.iter().filter_map(block).collect::<Vec<_>>().join("\n"),
    }
}

/// Time of day, UTC.
pub fn clock(ts: Ts) -> String {
    let seconds = ts.0 / 1_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

pub fn block(block: &Value) -> Option<String> {
    match block["type"].as_str()? {
        "header" => Some(format!("▌ {}", shown(&block["text"]))),
        "divider" => Some("────────".to_owned()),
        "section" => {
            let text = block.get("text").map(shown);
            let fields = block["fields"].as_array().into_iter().flatten().map(|field| {
                let field = shown(field);
                format!("• {}", field.split('\n').collect::<Vec<_>>().join(" "))
            });
            let lines: Vec<_> = text.into_iter().chain(fields).collect();
            Some(lines.join("\n"))
        }
        "context" => Some(joined(&block["elements"], "  ·  ", |element| match element["type"].as_str() {
            Some("image") => element["alt_text"].as_str().unwrap_or_default().to_owned(),
            _ => shown(element),
        })),
        "actions" => Some(joined(&block["elements"], " ", |element| match element.get("placeholder") {
            Some(choice) => format!("[{} ▾]", shown(choice)),
            None => format!("[{}]", shown(&element["text"])),
        })),
        "image" => Some(format!("(image: {})", block["alt_text"].as_str().unwrap_or_default())),
        _ => None,
    }
}

fn joined(elements: &Value, between: &str, show: impl Fn(&Value) -> String) -> String {
    elements.as_array().into_iter().flatten().map(show).collect::<Vec<_>>().join(between)
}

fn shown(object: &Value) -> String {
    let text = object["text"].as_str().unwrap_or_default();
    match object["type"].as_str() {
        Some("plain_text") => with_emoji(text),
        _ => mrkdwn(text),
    }
}

/// Slack's own mark-up made readable: mentions, links, emoji; what it escapes is written out again.
fn mrkdwn(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(&unescape(&with_emoji(before)));
        let Some((inside, behind)) = after.split_once('>') else {
            out.push('<');
            rest = after;
            continue;
        };
        out.push_str(&unescape(&token(inside)));
        rest = behind;
    }
    out.push_str(&unescape(&with_emoji(rest)));
    out
}

/// What stands between `<` and `>`.
fn token(inside: &str) -> String {
    let (target, label) = inside.split_once('|').map_or((inside, None), |(target, label)| (target, Some(label)));
    match target.split_at_checked(1) {
        Some(("!", group)) => {
            let name = label.or(group.rsplit('^').next()).unwrap_or(group);
            format!("@{}", name.trim_start_matches('@'))
        }
        Some(("@", user)) => format!("@{}", label.unwrap_or(user)),
        Some(("#", channel)) => format!("#{}", label.unwrap_or(channel)),
        _ => match label {
            Some(label) if label != target => format!("{label} ({target})"),
            _ => target.to_owned(),
        },
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn with_emoji(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(':') {
        out.push_str(before);
        match after.split_once(':').filter(|(name, _)| known(name).is_some()) {
            Some((name, behind)) => {
                out.push_str(&emoji(name));
                rest = behind;
            }
            None => {
                out.push(':');
                rest = after;
            }
        }
    }
    out + rest
}

fn emoji(name: &str) -> String {
    known(name).map_or_else(|| format!(":{name}:"), str::to_owned)
}

fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "rotating_light" => "🚨",
        "warning" => "⚠️",
        "red_circle" => "🔴",
        "large_orange_circle" | "orange_circle" => "🟠",
        "large_yellow_circle" | "yellow_circle" => "🟡",
        "large_blue_circle" | "blue_circle" => "🔵",
        "large_green_circle" | "green_circle" => "🟢",
        "white_circle" => "⚪",
        "white_check_mark" | "heavy_check_mark" => "✅",
        "x" => "❌",
        "fire" => "🔥",
        "eyes" => "👀",
        "bell" => "🔔",
        "no_bell" => "🔕",
        "rocket" => "🚀",
        "package" => "📦",
        "rewind" => "⏪",
        "arrows_counterclockwise" | "repeat" => "🔄",
        "chart_with_upwards_trend" => "📈",
        "chart_with_downwards_trend" => "📉",
        "mag" => "🔍",
        "book" => "📖",
        "link" => "🔗",
        "hourglass" | "hourglass_flowing_sand" => "⏳",
        "information_source" => "ℹ️",
        "bar_chart" => "📊",
        "arrow_up" => "⬆️",
        "arrow_down" => "⬇️",
        "speech_balloon" => "💬",
        "busts_in_silhouette" => "👥",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mark_up_is_made_readable() {
        assert_eq!(mrkdwn(":fire: <!here> <!subteam^S1|@sre> <@U7>"), "🔥 @here @sre @U7");
        assert_eq!(mrkdwn("see <https://a.b/c|runbook> at 10:30:00"), "see runbook (https://a.b/c) at 10:30:00");
        assert_eq!(mrkdwn("a &lt;b&gt; &amp; c"), "a <b> & c");
        assert_eq!(mrkdwn("1 < 2"), "1 < 2");
    }

    #[test]
    fn a_thread_is_shown_with_its_replies_indented_and_edits_marked() {
        let message = |text: &str, thread: Option<u64>| Message {
            bot_id: Some("B1".into()),
            text: text.into(),
            blocks: Vec::new(),
            metadata: None,
            thread: thread.map(Ts),
            broadcast: false,
            edited: None,
            reactions: Vec::new(),
        };
        let mut channel = Channel { name: "oncall".into(), ..Channel::default() };
        let mut root = message("fallback", None);
        root.blocks = vec![
            json!({"type": "header", "text": {"type": "plain_text", "text": ":red_circle: checkout"}}),
            json!({"type": "section", "fields": [{"type": "mrkdwn", "text": "*Level*\ncritical"}]}),
            json!({"type": "actions", "elements": [
                {"type": "button", "text": {"type": "plain_text", "text": "Runbook"}}]}),
        ];
        root.edited = Some(Ts(3_661_000_000));
        channel.add(Ts(60_000_000), root);
        channel.add(Ts(61_000_000), message("first\nsecond", Some(60_000_000)));
        let shown = channels([&channel].into_iter());
        let expected = "#oncall\n\n  00:01:00 fairlead (edited 01:01:01)\n  ▌ 🔴 checkout\n  • *Level* critical\n  [Runbook]\n    \
                        │ 00:01:01 fairlead\n    │ first\n    │ second\n\n";
        assert_eq!(shown, expected);
    }
}
