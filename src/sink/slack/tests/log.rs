//! The log: one message in the root's thread, posted once and then rewritten.

use super::refuse;
use super::world::{SETTLE_MS, World};
use crate::embedded::slack::{Control, Fault};
use crate::event::SlackActionKind::{Log, PostRoot, Reply as InThread, UpdateRoot};
use crate::event::SlackStatus::{Done, Intended, Superseded};
use crate::event::{Level, SlackStatus};

#[test]
fn a_log_is_posted_once_then_rewritten_and_what_waits_is_coalesced() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    let first = world.tell(Log, 1);
    world.run();
    let (dropped, second) = (world.tell(Log, 2), world.tell(Log, 3));
    world.tell(Log, 2);
    world.run();
    assert_eq!((world.roots(), world.logs("inc")), (vec![("inc root 1".into(), 1)], vec!["inc log 3".into()]));
    assert_eq!((world.statuses(first), world.statuses(second)), (vec![Intended, Done], vec![Intended, Done]));
    assert_eq!(world.statuses(dropped), [Superseded]);
    // After a restart it is the same message that is rewritten.
    world.restart();
    world.tell(Log, 4);
    world.run();
    assert_eq!((world.roots(), world.logs("inc")), (vec![("inc root 1".into(), 1)], vec!["inc log 4".into()]));
}

#[test]
fn a_lost_post_of_a_log_is_looked_up_in_its_thread_wherever_the_process_dies() {
    for (fault, fuse) in
        [Fault::Drop, Fault::Fail].into_iter().flat_map(|fault| (0..14).map(move |at| (fault.clone(), at)))
    {
        let mut world = World::new();
        world.tell(PostRoot, 1);
        world.run();
        world.arm("chat.postMessage", fault);
        world.tell(Log, 1);
        world.tell(Log, 2);
        world.fuse = Some(fuse);
        world.run();
        assert_eq!(
            (world.roots(), world.logs("inc")),
            (vec![("inc root 1".into(), 1)], vec!["inc log 2".into()]),
            "{fuse}"
        );
    }
}

#[test]
fn a_log_that_somebody_deleted_is_posted_anew() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.tell(Log, 1);
    world.run();
    (0..2).for_each(|_| world.arm("chat.update", refuse("message_not_found")));
    let log = world.tell(Log, 2);
    world.run();
    // Twice not found, then posted; the old one, which was there after all, is removed.
    assert_eq!(world.statuses(log)[..4], [Intended, Intended, Intended, Done]);
    assert_eq!((world.roots(), world.logs("inc")), (vec![("inc root 1".into(), 1)], vec!["inc log 2".into()]));
}

#[test]
fn a_log_is_told_again_in_the_thread_of_a_root_that_replaces_a_deleted_one() {
    for fuse in 0..24 {
        for kind in [UpdateRoot, InThread, Log] {
            let mut world = World::new();
            world.tell(PostRoot, 1);
            world.tell(Log, 1);
            world.run();
            world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
            world.tell(kind, 2);
            if kind == Log {
                // Nothing but the root itself says that it is gone.
                world.tell(UpdateRoot, 2);
            }
            world.fuse = Some(fuse);
            world.run();
            let case = format!("{kind:?}, killed at step {fuse}");
            let root = if kind == InThread { "inc root 1" } else { "inc root 2" };
            let log = if kind == Log { "inc log 2" } else { "inc log 1" };
            assert_eq!(world.roots(), [(root.to_owned(), 1)], "{case}");
            assert_eq!(world.logs("inc"), [log], "{case}");
        }
    }
}

#[test]
fn the_first_log_of_a_thread_whose_root_is_gone_becomes_the_root_for_a_moment_and_both_are_there_in_the_end() {
    for (lost, fuse) in (0..30).flat_map(|fuse| [(false, fuse), (true, fuse)]) {
        let mut world = World::new();
        world.tell(PostRoot, 1);
        world.run();
        world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
        world.tell(Log, 1);
        world.fuse = Some(fuse);
        if lost {
            (0..2).for_each(|_| world.arm("chat.postMessage", Fault::Drop));
        }
        world.run();
        let case = format!("answers lost: {lost}, killed at step {fuse}");
        assert_eq!(world.roots(), [("inc root 1".to_owned(), 1)], "{case}");
        assert_eq!(world.logs("inc"), ["inc log 1"], "{case}");
    }
}

#[test]
fn a_rewriting_of_a_log_that_lands_late_does_not_stay() {
    for delay_ms in [45_000, 400_000] {
        let mut world = World::new();
        world.tell(PostRoot, 1);
        world.tell(Log, 1);
        world.run();
        world.arm("chat.update", Fault::Late { delay_ms });
        world.tell(Log, 2);
        world.run_for(1_000);
        world.tell(Log, 3);
        world.run();
        assert_eq!(world.logs("inc"), ["inc log 3"], "{delay_ms}");
        assert_eq!(world.workspace.events().filter(|event| event.text == "inc log 2").count(), 2, "{delay_ms}");
    }
}

#[test]
fn a_log_that_slack_refuses_is_recorded_and_the_rest_goes_on() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.arm("chat.postMessage", refuse("restricted_action_thread_locked"));
    let log = world.tell(Log, 1);
    let end = world.tell_of("inc", UpdateRoot, 2, true);
    world.run();
    assert_eq!(
        (world.statuses(log), world.statuses(end)),
        (vec![Intended, SlackStatus::Rejected], vec![Intended, Done])
    );
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 0)]);
}

/// Updates are what there is least of: so many a minute in the whole workspace.
#[test]
fn logs_wait_for_everything_else_and_leave_half_a_burst_to_what_ends() {
    let mut world = World::new();
    let names: Vec<_> = (0..40).map(|number| format!("i{number}")).collect();
    for name in &names {
        world.tell_of(name, PostRoot, 1, false);
        world.tell_of(name, Log, 1, false);
    }
    world.run();
    world.now = world.now.plus_ms(60_000);
    let told = world.now;
    names.iter().for_each(|name| _ = world.tell_of(name, Log, 2, false));
    world.run_for(1_000);
    // Ten incidents end at once while thirty logs still wait: none of them waits for a token.
    names[..10].iter().for_each(|name| _ = world.tell_of(name, UpdateRoot, 2, true));
    let critical = world.tell_of("critical", PostRoot, 1, false);
    world.actions[critical].level = Level::Critical;
    let asked = world.now;
    world.run();
    let at = |text: &str| world.workspace.events().find(|event| event.text == text).unwrap().at_ms;
    let ends: Vec<_> = names[..10].iter().map(|name| at(&format!("{name} root 2")) - asked.0).collect();
    assert!(ends.iter().all(|ms| *ms <= 11 * 50), "{ends:?}");
    assert!(at("critical root 1") - asked.0 <= 50);
    let logs: Vec<_> = names.iter().map(|name| at(&format!("{name} log 2")) - told.0).collect();
    assert!(logs.iter().filter(|ms| **ms < 1_000).count() <= 10, "{logs:?}");
}

#[test]
fn a_log_whose_answer_is_lost_holds_up_the_end_of_its_incident_no_longer_than_it_must() {
    let mut world = World::new();
    let names: Vec<_> = (0..60).map(|number| format!("i{number}")).collect();
    names.iter().for_each(|name| _ = world.tell_of(name, PostRoot, 1, false));
    world.tell_of("i0", Log, 1, false);
    world.run();
    world.now = world.now.plus_ms(60_000);
    world.arm("chat.update", Fault::Drop);
    world.tell_of("i0", Log, 2, false);
    world.run_for(100);
    let asked = world.now;
    world.tell_of("i0", UpdateRoot, 2, true);
    // More than can be told for a minute.
    names[1..].iter().for_each(|name| _ = world.tell_of(name, UpdateRoot, 2, false));
    world.run();
    let ended = world.workspace.events().find(|event| event.text == "i0 root 2").unwrap().at_ms - asked.0;
    assert!(ended <= SETTLE_MS + 3_000, "{ended} ms");
    assert_eq!(world.logs("i0"), ["i0 log 2"]);
}
