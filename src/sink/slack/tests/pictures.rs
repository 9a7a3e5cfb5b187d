//! Messages with a picture that Slack fetches, or cannot.

use super::*;
use crate::embedded::slack::workspace::EventKind;

const PICTURE: &str = "http://127.0.0.1/charts/01ffff007f.png";

fn with_picture(world: &mut World, action: usize) -> usize {
    let image = format!(r#"{{"type":"image","image_url":"{PICTURE}","alt_text":"it rises"}}"#);
    world.actions[action].blocks = format!(r#"[{{"type":"divider"}},{image},{{"type":"divider"}}]"#);
    action
}

/// Kinds of the blocks of the one root.
fn shown(world: &mut World) -> Vec<String> {
    let messages = world.workspace.messages("oncall", world.now.0);
    let root = messages.iter().find(|(_, message)| message.thread.is_none()).expect("a root");
    root.1.blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
}

fn last_error(world: &World) -> String {
    let done = world.journal.iter().rfind(|outcome| outcome.status == Done);
    done.and_then(|outcome| outcome.error.clone()).unwrap_or_default()
}

#[test]
fn a_picture_that_cannot_be_fetched_costs_the_message_nothing_else_and_is_back_with_the_next_rendering() {
    let mut world = World::new();
    let root = world.tell(PostRoot, 1);
    with_picture(&mut world, root);
    world.run();
    assert_eq!(world.statuses(root), [Intended, Intended, Done]);
    assert!(world.journal.iter().all(|outcome| outcome.attempt == 1), "what was refused had no effect");
    assert_eq!((shown(&mut world), world.posted("inc root 1")), (vec!["divider".to_owned(); 2], 1));
    let why = "told without pictures: invalid_blocks: [ERROR] downloading image failed";
    assert!(last_error(&world).starts_with(why), "{}", last_error(&world));

    world.workspace.has_picture(PICTURE.to_owned(), true);
    let update = world.tell(UpdateRoot, 2);
    with_picture(&mut world, update);
    world.run();
    assert_eq!((world.statuses(update), last_error(&world)), (vec![Intended, Done], String::new()));
    assert_eq!(shown(&mut world), ["divider", "image", "divider"]);

    world.workspace.has_picture(PICTURE.to_owned(), false);
    let update = world.tell(UpdateRoot, 3);
    with_picture(&mut world, update);
    world.run();
    assert_eq!(world.statuses(update), [Intended, Intended, Done]);
    assert_eq!((shown(&mut world), world.roots()), (vec!["divider".to_owned(); 2], vec![("inc root 3".to_owned(), 0)]));
    assert_eq!(world.committed, Offset(3));
}

#[test]
fn where_the_other_blocks_are_refused_too_plain_text_is_told() {
    let mut world = World::new();
    let root = world.tell(PostRoot, 1);
    with_picture(&mut world, root);
    (0..2).for_each(|_| world.arm("chat.postMessage", refuse("invalid_blocks")));
    world.run();
    assert_eq!(world.statuses(root), [Intended, Intended, Intended, Done]);
    assert_eq!((shown(&mut world), last_error(&world)), (vec![], "told as plain text: invalid_blocks".to_owned()));
    assert_eq!(world.roots(), [("inc root 1".to_owned(), 0)]);
}

#[test]
fn nothing_is_lost_or_doubled_wherever_it_dies_and_whatever_answer_is_lost_on_the_way_to_less() {
    for (fuse, fault) in (0..14).flat_map(|fuse| [(fuse, None), (fuse, Some(Fault::Drop)), (fuse, Some(Fault::Fail))]) {
        let mut world = World::new();
        let root = world.tell(PostRoot, 1);
        with_picture(&mut world, root);
        let update = world.tell(UpdateRoot, 2);
        with_picture(&mut world, update);
        world.tell(InThread, 2);
        for method in ["chat.postMessage", "chat.update"] {
            fault.clone().into_iter().for_each(|fault| world.arm(method, fault));
        }
        world.fuse = Some(fuse);
        world.run();
        let case = format!("killed at step {fuse}, {fault:?}");
        assert_eq!(world.roots(), [("inc root 2".to_owned(), 1)], "{case}");
        assert_eq!(shown(&mut world), ["divider", "divider"], "{case}");
        let posted = world.workspace.events().filter(|event| event.kind == EventKind::Posted).count();
        assert_eq!((posted, world.committed), (2, Offset(3)), "{case}");
    }
}
