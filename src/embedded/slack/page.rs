//! Channels as a page for a browser: the text of a terminal, and the pictures where messages have them.
//!
//! No script, no style sheet of elsewhere; what messages say is escaped. Not here: buttons that can be pressed.

use std::fmt::Write;

use serde_json::Value;

use super::message::{Channel, Message, Ts};
use super::render::{block, body, clock};

/// Pictures may come from this machine, nothing else from anywhere.
#[cfg(feature = "runtime")]
pub const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src http://127.0.0.1:* http://localhost:* http://[::1]:*";

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>threads</title>\n<style>\n\
body { font: 15px/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1d1c1d; background: #fff }\n\
article { margin: 0 0 1rem; padding: 0 0 0 .8rem; border-left: 3px solid #ddd } article.reply { margin-left: 2rem }\n\
p { margin: .2rem 0; white-space: pre-wrap; overflow-wrap: anywhere } time { color: #616061; font-size: 13px }\n\
img { display: block; max-width: 100%; width: 480px; margin: .4rem 0; border-radius: 8px; border: 1px solid #ddd }\n\
@media (prefers-color-scheme: dark) { body { color: #d1d2d3; background: #1a1d21 } article, img { border-color: #444 } time { color: #ababad } }\n\
</style>\n";

pub fn channels<'a>(channels: impl Iterator<Item = &'a Channel>) -> String {
    let mut out = HEAD.to_owned();
    for channel in channels.filter(|channel| !channel.messages.is_empty()) {
        let _ = writeln!(out, "<h1>#{}</h1>", escaped(&channel.name));
        for (ts, root) in channel.roots() {
            message(&mut out, ts, root, "root");
            for (ts, reply) in channel.replies(ts) {
                message(&mut out, ts, reply, "reply");
            }
        }
    }
    out + "</html>\n"
}

fn message(out: &mut String, ts: Ts, message: &Message, class: &str) {
    let _ = writeln!(out, "<article class=\"{class}\"><time>{}</time>", clock(ts));
    if message.blocks.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escaped(&body(&message.text, &[])));
    }
    for shown in &message.blocks {
        let _ = match picture(shown) {
            Some((address, words)) => {
                writeln!(out, "<img src=\"{}\" alt=\"{}\">", escaped(address), escaped(words))
            }
            None => writeln!(out, "<p>{}</p>", escaped(&block(shown).unwrap_or_default())),
        };
    }
    *out += "</article>\n";
}

fn picture(block: &Value) -> Option<(&str, &str)> {
    let words = block["alt_text"].as_str().filter(|_| block["type"] == "image")?;
    Some((block["image_url"].as_str()?, words))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pictures_are_shown_and_what_messages_say_is_escaped() {
        let mut channel = Channel { name: "on<call".into(), ..Channel::default() };
        let root = Message {
            bot_id: None,
            text: "t".into(),
            blocks: vec![
                json!({"type": "section", "text": {"type": "plain_text", "text": "<script>"}}),
                json!({"type": "image", "image_url": "http://127.0.0.1/a\"b.png", "alt_text": "<up>"}),
            ],
            metadata: None,
            thread: None,
            broadcast: false,
            edited: None,
            reactions: Vec::new(),
        };
        channel.add(Ts(1), root.clone());
        channel.add(Ts(2), Message { blocks: Vec::new(), thread: Some(Ts(1)), ..root });
        let html = channels([&channel].into_iter());
        for shown in [
            "<h1>#on&lt;call</h1>",
            "<p>&lt;script&gt;</p>",
            "<img src=\"http://127.0.0.1/a&quot;b.png\" alt=\"&lt;up&gt;\">",
            "<article class=\"reply\"><time>00:00:00</time>\n<p>t</p>",
        ] {
            assert!(html.contains(shown), "{shown}: {html}");
        }
    }
}
