//! A replay or a diff as one page that needs nothing else: no server, no network, and no script to be read.
//!
//! Bars are links to what was told of the incident, so a keyboard reaches them; the script only opens what a link points to, and
//! everything for the printer. All text from outside is escaped, and the page's policy lets nothing run but its own script.

mod timeline;

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Window;
use super::diff::{Diff, Difference, Outcome, What, pairs};
use super::report::{Replay, Told};
use super::story::Story;
use super::text::{change_word, clock, kind_word, level_word, time};
use crate::event::SlackActionKind;
use timeline::Bar;

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// What the page shows: one telling, or two and what they differ in.
pub struct Page<'a> {
    pub title: &'a str,
    /// In words, line by line.
    pub head: &'a str,
    pub window: &'a Window,
    /// Before and after, or the only one.
    pub sides: &'a [(&'a str, &'a Replay)],
    pub diff: Option<&'a Diff>,
}

/// An incident on one or two sides.
struct Entry<'a> {
    stories: Vec<Option<&'a Story>>,
    difference: Option<&'a Difference>,
}

pub fn page(page: &Page<'_>) -> String {
    let entries = entries(page);
    let mut out = String::new();
    let policy = base64(&Sha256::digest(JS.as_bytes()));
    _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{policy}'\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n",
        escaped(page.title),
        escaped(page.title)
    );
    page.head.lines().for_each(|line| _ = writeln!(out, "<p>{}</p>", escaped(line)));
    table(&mut out, page);
    legend(&mut out, page.diff.is_some());
    services(&mut out, page, &entries);
    out += "<h2>What was told</h2>\n";
    entries.iter().enumerate().for_each(|(number, shown)| entry(&mut out, page, number, shown));
    _ = write!(out, "</main>\n<script>{JS}</script>\n</body>\n</html>\n");
    out
}

fn entries<'a>(page: &Page<'a>) -> Vec<Entry<'a>> {
    let difference = |story: &Story, side: usize| {
        let id = |one: &&Difference| if side == 0 { one.before.as_ref() } else { one.after.as_ref() } == Some(&story.incident);
        page.diff.into_iter().flat_map(|diff| &diff.incidents).find(id)
    };
    match page.sides {
        [(_, before), (_, after)] => {
            let pairs = pairs::pairs(&before.incidents, &after.incidents).into_iter();
            let entry = |(before, after): pairs::Pair<'a>| {
                let of = before.map(|story| (story, 0)).or(after.map(|story| (story, 1)));
                let difference = of.and_then(|(story, side)| difference(story, side));
                Entry { stories: vec![before, after], difference }
            };
            pairs.map(entry).collect()
        }
        sides => {
            let stories = sides.iter().flat_map(|(_, replay)| &replay.incidents);
            stories.map(|story| Entry { stories: vec![Some(story)], difference: None }).collect()
        }
    }
}

fn table(out: &mut String, page: &Page<'_>) {
    *out += "<table><thead><tr><th></th>";
    page.sides.iter().for_each(|(name, _)| _ = write!(out, "<th scope=\"col\">{}</th>", escaped(name)));
    *out += "</tr></thead><tbody>\n";
    let told: Vec<Told> = page.sides.iter().map(|(_, side)| side.told).collect();
    let row = |count: fn(&Told) -> u64| told.iter().map(|told| format!("<td>{}</td>", count(told))).collect::<String>();
    let has_duty = told.iter().any(|told| told.changes_of_duty > 0);
    let duty = has_duty.then(|| ("changes of duty", row(|told| told.changes_of_duty)));
    let rows = [
        ("incidents", row(|told| told.incidents)),
        ("roots", row(|told| told.roots)),
        ("replies", row(|told| told.replies)),
        ("rewritings", row(|told| told.rewritings)),
        ("mentions", row(|told| told.mentions)),
    ];
    for (name, cells) in rows.into_iter().chain(duty) {
        _ = writeln!(out, "<tr><th scope=\"row\">{name}</th>{cells}</tr>");
    }
    *out += "</tbody></table>\n";
}

fn legend(out: &mut String, compared: bool) {
    *out += "<div class=\"legend\"><span><i class=\"low\"></i>L low</span><span><i class=\"medium\"></i>M medium</span><span><i \
             class=\"high\"></i>H high</span><span><i class=\"critical\"></i>C critical</span><span>○ root</span><span>● \
             reply</span><span>@ mention</span>";
    if compared {
        *out += "<span>dashed: vanishes</span><span>thick: appears</span><span>blue: changes</span>";
    }
    *out += "</div>\n";
}

fn services(out: &mut String, page: &Page<'_>, entries: &[Entry<'_>]) {
    let of = |entry: &Entry<'_>| {
        let story = entry.stories.iter().flatten().next();
        let name = |story: &&Story| if story.rotation.is_some() { story.title() } else { story.service.clone() };
        story.map(name).unwrap_or_default()
    };
    let mut services: Vec<String> = entries.iter().map(of).collect();
    services.sort();
    services.dedup();
    for service in services {
        let mine: Vec<_> = entries.iter().enumerate().filter(|(_, entry)| of(entry) == service).collect();
        let lanes = page.sides.iter().enumerate().map(|(side, (name, _))| {
            let bars = mine.iter().filter_map(|(number, entry)| {
                let story = *entry.stories.get(side)?.as_ref()?;
                let class = entry.difference.map_or("same", |one| outcome(one.outcome));
                Some(Bar { story, target: format!("p{number}"), class })
            });
            (*name, bars.collect::<Vec<_>>())
        });
        let lanes: Vec<_> = lanes.collect();
        _ = writeln!(out, "<section class=\"service\"><h2>{}</h2>", escaped(&service));
        timeline::svg(out, &service, &lanes, page.window);
        *out += "</section>\n";
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Appears => "appears",
        Outcome::Vanishes => "vanishes",
        Outcome::Changes => "changes",
    }
}

fn entry(out: &mut String, page: &Page<'_>, number: usize, entry: &Entry<'_>) {
    let Some(shown) = entry.stories.iter().flatten().next_back() else { return };
    let badge = entry.difference.map(|one| format!("<span class=\"badge\">{}</span>", outcome(one.outcome)));
    _ = writeln!(
        out,
        "<details id=\"p{number}\"><summary><b>{}</b> {} {} {}{}</summary>",
        escaped(&shown.title()),
        level_word(shown.worst()),
        clock(shown.opened_at_ms),
        escaped(&shown.incident),
        badge.unwrap_or_default()
    );
    if let Some(difference) = entry.difference {
        differs(out, difference);
    }
    for ((name, _), story) in page.sides.iter().zip(&entry.stories) {
        let Some(story) = story else { continue };
        // What is the same on both sides is shown once.
        if page.sides.len() > 1 && entry.difference.is_none() && *name == page.sides[0].0 && entry.stories[1].is_some()
        {
            continue;
        }
        if page.sides.len() > 1 {
            _ = writeln!(out, "<details><summary>{}</summary>", escaped(name));
            self::story(out, story);
            *out += "</details>\n";
        } else {
            self::story(out, story);
        }
    }
    *out += "</details>\n";
}

fn differs(out: &mut String, difference: &Difference) {
    _ = writeln!(
        out,
        "<dl><dt>before</dt><dd>{}</dd><dt>after</dt><dd>{}</dd></dl>",
        escaped(&difference.decided_before),
        escaped(&difference.decided_after)
    );
    for change in &difference.changes {
        let what = match change.what {
            What::Step(step) => step.word(),
            What::Mention => "mention",
            What::Message => "message",
            What::Rewriting => "rewritten",
        };
        _ = writeln!(out, "<p>{} {what}</p>", clock(change.at_ms));
        let told = [("gone", "−", &change.before), ("new", "+", &change.after)];
        for (class, mark, told) in told {
            if let Some(told) = told {
                _ = writeln!(out, "<pre class=\"{class}\">{mark} {}</pre>", escaped(told));
            }
        }
    }
}

fn story(out: &mut String, story: &Story) {
    *out += "<dl>\n";
    for step in story.all_steps() {
        let at = time(step.at_ms);
        let (change, level) = (change_word(step.change), level_word(step.level));
        _ = writeln!(out, "<dt>{at}</dt><dd>{change}, {level}: {}</dd>", escaped(&step.reason));
    }
    *out += "</dl>\n";
    for message in story.posts() {
        let mentions: String = message.mentions.iter().map(|id| format!(", mentions {}", escaped(id))).collect();
        let (at, kind) = (time(message.at_ms), kind_word(message.kind));
        _ = writeln!(out, "<p>{at} {kind} in {}{mentions}</p>", escaped(&message.channel));
        _ = writeln!(out, "<pre>{}</pre>", escaped(&message.text));
    }
    for (kind, what) in [(SlackActionKind::UpdateRoot, "the root"), (SlackActionKind::Log, "its log")] {
        let told: Vec<_> = story.messages.iter().filter(|message| message.kind == kind).collect();
        let Some(last) = told.last() else { continue };
        _ = writeln!(out, "<p>{what}, rewritten {}×, last at {}</p>", told.len(), time(last.at_ms));
        _ = writeln!(out, "<pre>{}</pre>", escaped(&last.text));
    }
}

pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| (bits << 8) | usize::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) & 63];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        assert_eq!(escaped("<b a='1'>\"&"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
    }

    #[test]
    fn base64_is_that_of_its_standard() {
        let encoded = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
