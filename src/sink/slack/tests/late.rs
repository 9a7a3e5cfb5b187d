//! What Slack takes late: after it was looked up, after it was made again, after something newer was told.

use super::refuse;
use super::world::{SETTLE_MS, World};
use crate::embedded::slack::Fault;
use crate::event::SlackActionKind::{PostRoot, Reply as InThread, UpdateRoot};
use crate::event::SlackStatus::{Done, Intended, Removing, Swept};

#[test]
fn a_post_that_slack_takes_only_after_it_was_made_again_is_removed_and_the_thread_goes_on() {
    // Between the first pass and the second, before the first, and before the post is made again.
    for (delay_ms, removed) in [(300_000, 1), (45_000, 1), (9_000, 0)] {
        let mut world = World::new();
        world.arm("chat.postMessage", Fault::Late { delay_ms });
        let root = world.tell(PostRoot, 1);
        world.tell(InThread, 2);
        world.tell_of("inc", UpdateRoot, 2, true);
        world.run();
        assert_eq!(world.roots(), [("inc root 2".to_owned(), 1)], "{delay_ms}");
        let statuses = world.statuses(root);
        assert_eq!(statuses.iter().filter(|status| **status == Removing).count(), removed, "{delay_ms}: {statuses:?}");
    }
}

#[test]
fn a_reply_that_slack_takes_late_is_there_once() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.arm("chat.postMessage", Fault::Late { delay_ms: 100_000 });
    world.tell(InThread, 2);
    world.run();
    assert_eq!((world.roots(), world.posted("inc reply 2")), (vec![("inc root 1".to_owned(), 1)], 2));
}

#[test]
fn where_slack_refuses_to_delete_a_double_the_journal_says_so() {
    let mut world = World::new();
    world.arm("chat.postMessage", Fault::Late { delay_ms: 45_000 });
    (0..2).for_each(|_| world.arm("chat.delete", refuse("cant_delete_message")));
    let root = world.tell(PostRoot, 1);
    world.run();
    assert_eq!(world.roots().len(), 2);
    assert_eq!(world.statuses(root), [Intended, Intended, Done, Removing, Swept, Removing, Swept]);
    assert_eq!(world.journal.last().unwrap().error.as_deref(), Some("cant_delete_message"));
}

#[test]
fn a_rewriting_that_lands_after_the_terminal_one_does_not_stay() {
    for delay_ms in [45_000, 400_000] {
        let mut world = World::new();
        world.tell(PostRoot, 1);
        world.run();
        world.arm("chat.update", Fault::Late { delay_ms });
        world.tell(UpdateRoot, 2);
        world.run_for(1_000);
        world.tell_of("inc", UpdateRoot, 3, true);
        world.run();
        assert_eq!(world.roots(), [("inc root 3".to_owned(), 0)], "{delay_ms}");
        let changed = world.workspace.events().filter(|event| event.text == "inc root 2").count();
        assert_eq!(changed, 2, "{delay_ms}: it was repeated, and the first one landed late");
    }
}

#[test]
fn a_root_that_appears_after_it_was_given_up_is_removed() {
    let mut world = World::new();
    world.arm("chat.postMessage", Fault::Lag { delay_ms: 40_000 });
    world.tell(PostRoot, 1);
    world.tell_of("inc", UpdateRoot, 2, true);
    world.run();
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 0)]);
    assert_eq!(world.posted("inc root 1") + world.posted("inc root 2"), 2);
}

#[test]
fn a_root_that_is_there_a_moment_later_is_waited_for() {
    let mut world = World::new();
    world.arm("chat.postMessage", Fault::Lag { delay_ms: 5_000 });
    world.tell(PostRoot, 1);
    let end = world.tell_of("inc", UpdateRoot, 2, true);
    world.run();
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 0)]);
    assert_eq!((world.statuses(end), world.posted("inc root 2")), (vec![Intended, Intended, Done], 0));
}

#[test]
fn a_lost_update_is_repeated_and_a_newer_one_waits_for_it() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.arm("chat.update", Fault::Late { delay_ms: 5_000 });
    world.tell(UpdateRoot, 2);
    // Killed right after the call; the newer rendering is there when the sink comes back.
    world.fuse = Some(3);
    assert!(world.run_until_killed().is_err());
    world.tell(UpdateRoot, 3);
    world.restart();
    world.run();
    world.now = world.now.plus_ms(60_000);
    assert_eq!(world.roots(), [("inc root 3".to_owned(), 0)]);
}

#[test]
fn a_repeated_update_that_lands_late_does_not_undo_a_newer_one() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    let update = world.tell(UpdateRoot, 2);
    world.arm("chat.update", Fault::Drop);
    world.arm("chat.update", Fault::Late { delay_ms: 5_000 });
    // Killed right after the second call.
    let told = world.now;
    world.fuse = Some(9);
    assert!(world.run_until_killed().is_err());
    assert!(world.now.since_ms(told) > SETTLE_MS && world.statuses(update) == [Intended, Intended]);
    world.tell(UpdateRoot, 3);
    world.restart();
    world.run();
    world.now = world.now.plus_ms(60_000);
    assert_eq!(world.roots(), [("inc root 3".to_owned(), 0)]);
}
