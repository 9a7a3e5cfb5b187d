//! The ledger against the stand-in's workspace, without HTTP, Kafka or a clock: every interleaving of faults and crashes
//! that a test or proptest can think of.

mod group;
mod late;
mod log;
mod pictures;
mod world;

use proptest::prelude::*;

use crate::embedded::slack::{Control, Fault};
use crate::event::{Level, SlackActionKind, SlackStatus};
use crate::record::Offset;
use crate::sink::slack::ledger::Slots;
use world::{SETTLE_MS, World};

use SlackActionKind::{Log, PostRoot, Reply as InThread, UpdateRoot};
use SlackStatus::{Done, Intended, Rejected, Superseded, Swept, Unknown};

fn refuse(code: &str) -> Fault {
    Fault::Refuse { code: code.into() }
}

#[test]
fn a_root_its_replies_and_its_last_state() {
    let mut world = World::new();
    let root = world.tell(PostRoot, 1);
    world.run();
    let reply = world.tell(InThread, 2);
    let end = world.tell_of("inc", UpdateRoot, 2, true);
    world.run();
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 1)]);
    for action in [root, reply, end] {
        assert_eq!(world.statuses(action), [Intended, Done]);
    }
    assert_eq!(world.committed, Offset(3));
}

#[test]
fn waiting_updates_are_coalesced_but_no_post_and_no_terminal_state_is_dropped() {
    let mut world = World::new();
    let root = world.tell(PostRoot, 1);
    let dropped = [world.tell(UpdateRoot, 2), world.tell(UpdateRoot, 3)];
    let end = world.tell_of("inc", UpdateRoot, 4, true);
    let dropped_too = world.tell(UpdateRoot, 5);
    let last = world.tell(UpdateRoot, 6);
    world.run();
    assert_eq!(world.roots(), [("inc root 6".to_owned(), 0)]);
    for action in [dropped[0], dropped[1], dropped_too] {
        assert_eq!(world.statuses(action), [Superseded]);
    }
    for action in [root, end, last] {
        assert_eq!(world.statuses(action), [Intended, Done]);
    }
    assert_eq!(world.committed, Offset(6));
}

#[test]
fn what_was_superseded_before_a_death_is_not_written_again_and_what_was_not_is_told() {
    let mut world = World::new();
    let root = world.tell(PostRoot, 1);
    let dropped = world.tell(UpdateRoot, 2);
    let terminal = world.tell_of("inc", UpdateRoot, 3, true);
    let last = world.tell(UpdateRoot, 4);
    // Killed when all of it was read, before anything was told.
    world.fuse = Some(1);
    assert!(world.run_until_killed().is_err());
    world.restart();
    world.run();
    assert_eq!(world.statuses(dropped), [Superseded]);
    for action in [root, terminal, last] {
        assert_eq!(world.statuses(action), [Intended, Done]);
    }
    assert_eq!(world.roots(), [("inc root 4".to_owned(), 0)]);
}

#[test]
fn a_lost_answer_is_looked_up_and_not_posted_again() {
    for fault in [Fault::Drop, Fault::Fail, Fault::Late { delay_ms: 7_000 }] {
        let mut world = World::new();
        world.arm("chat.postMessage", fault.clone());
        let root = world.tell(PostRoot, 1);
        let reply = world.tell(InThread, 2);
        world.arm("chat.postMessage", fault);
        world.run();
        assert_eq!(world.roots(), [("inc root 1".to_owned(), 1)]);
        assert_eq!((world.statuses(root), world.statuses(reply)), (vec![Intended, Done], vec![Intended, Done]));
    }
}

#[test]
fn a_lost_reply_that_the_channel_shows_too_is_one_message_and_found_in_its_thread() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.arm("chat.postMessage", Fault::Drop);
    let reply = world.tell(InThread, 2);
    assert!(world.actions[reply].broadcast);
    world.run();
    assert_eq!((world.roots(), world.posted("inc reply 2")), (vec![("inc root 1".to_owned(), 1)], 1));
    assert_eq!(world.statuses(reply), [Intended, Done]);
    let shown = world.workspace.messages("oncall", world.now.0);
    assert!(shown.iter().any(|(_, message)| message.broadcast && message.text == "inc reply 2"));
}

#[test]
fn what_two_look_ups_do_not_find_is_posted_again() {
    let mut world = World::new();
    world.arm("chat.postMessage", refuse("internal_error"));
    let root = world.tell(PostRoot, 1);
    let started = world.now;
    world.run();
    assert_eq!(world.roots(), [("inc root 1".to_owned(), 0)]);
    // Made again, it may be there twice: looked after a minute and ten minutes later.
    assert_eq!(world.statuses(root), [Intended, Intended, Done, Swept, Swept]);
    let told: Vec<_> = world.journal.iter().map(|outcome| outcome.at_ms - started.0).collect();
    assert!(told[1] >= 2 * SETTLE_MS && told[3] >= 60_000 && told[4] >= 600_000, "{told:?}");
}

#[test]
fn a_lost_reply_that_landed_at_top_level_is_found_there_although_its_thread_has_replies() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.tell(InThread, 1);
    world.run();
    world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
    world.arm("chat.postMessage", Fault::Drop);
    world.tell(InThread, 2);
    world.run();
    assert_eq!(world.roots(), [("inc root 1".to_owned(), 0)]);
    assert_eq!(world.posted("inc reply 2"), 1);
}

#[test]
fn a_root_that_is_a_reply_shows_the_incident_also_if_the_process_died_before_it_was_rewritten() {
    for fuse in 0..12 {
        let mut world = World::new();
        world.tell(PostRoot, 1);
        world.run();
        world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
        world.tell(InThread, 2);
        world.fuse = Some(fuse);
        world.run();
        // What was first told by posting is told again by rewriting.
        assert_eq!(world.roots(), [("inc root 1".to_owned(), 0)], "killed at step {fuse}");
        assert_eq!((world.posted("inc root 1"), world.posted("inc reply 2")), (1, 1), "killed at step {fuse}");
    }
}

#[test]
fn what_cannot_be_read_again_is_not_waited_for() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
    world.forgotten = Offset(1);
    world.tell(InThread, 2);
    world.run();
    assert_eq!(world.roots(), [("inc reply 2".to_owned(), 0)]);
    world.tell(UpdateRoot, 3);
    world.run();
    assert_eq!(world.roots(), [("inc root 3".to_owned(), 0)]);
}

#[test]
fn an_old_version_never_overwrites_a_newer_one() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.tell(UpdateRoot, 5);
    world.tell(UpdateRoot, 4);
    world.run();
    world.tell(UpdateRoot, 3);
    world.run();
    assert_eq!(world.roots(), [("inc root 5".to_owned(), 0)]);
    let shown: Vec<_> = world.workspace.events().map(|event| event.text.as_str()).collect();
    assert_eq!(shown, ["inc root 1", "inc root 5"]);
    assert_eq!(world.committed, Offset(4));
}

#[test]
fn every_call_that_may_have_an_effect_has_an_intent_of_its_own() {
    let mut world = World::new();
    for fault in [Fault::RateLimit { retry_after_s: 3 }, refuse("token_expired"), Fault::Drop] {
        world.arm("chat.update", fault);
    }
    world.tell(PostRoot, 1);
    let update = world.tell(UpdateRoot, 2);
    world.run();
    assert_eq!(world.statuses(update)[..5], [Intended, Intended, Intended, Intended, Done]);
    let id = &world.actions[update].id;
    let attempts: Vec<_> = world.journal.iter().filter(|outcome| outcome.action_id == *id).map(|o| o.attempt).collect();
    // What surely had no effect does not count.
    assert_eq!(attempts[..5], [1, 1, 1, 2, 2]);
}

#[test]
fn where_nothing_can_be_looked_up_unknown_is_recorded_and_nothing_repeated() {
    let mut world = World::new();
    world.arm("chat.postMessage", Fault::Drop);
    world.arm("conversations.list", refuse("missing_scope"));
    let root = world.tell(PostRoot, 1);
    world.run();
    assert_eq!(world.statuses(root), [Intended, Unknown]);
    assert_eq!(world.posted("inc root 1"), 1);
    assert!(world.journal.last().unwrap().error.as_ref().unwrap().contains("missing_scope"));
    assert_eq!(world.committed, Offset(1));
}

#[test]
fn a_deleted_root_is_replaced_on_update() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.run();
    world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
    let update = world.tell(UpdateRoot, 2);
    world.run();
    world.tell(InThread, 3);
    world.run();
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 1)]);
    // Twice not found, then posted; the old root is looked after, should it appear.
    assert_eq!(world.statuses(update)[..4], [Intended, Intended, Intended, Done]);
}

#[test]
fn a_reply_whose_root_was_deleted_becomes_the_root_and_shows_the_incident_again() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.tell_of("inc", UpdateRoot, 2, true);
    world.run();
    world.workspace.control(Control::DeleteRoots { channel: "oncall".into() }, world.now.0).unwrap();
    let reply = world.tell(InThread, 3);
    world.run();
    assert_eq!(world.roots(), [("inc root 2".to_owned(), 0)]);
    assert_eq!((world.posted("inc reply 3"), &world.statuses(reply)[..2]), (1, &[Intended, Done][..]));
}

#[test]
fn a_refused_token_holds_everything_back_and_loses_nothing() {
    let mut world = World::new();
    (0..4).for_each(|_| world.arm("chat.postMessage", refuse("token_expired")));
    let root = world.tell(PostRoot, 1);
    world.run();
    assert_eq!(world.statuses(root), [Intended, Intended, Intended, Intended, Intended, Done]);
    assert_eq!(world.posted("inc root 1"), 1);
}

#[test]
fn refused_blocks_fall_back_to_text_and_a_refused_message_is_recorded() {
    let mut world = World::new();
    world.arm("chat.postMessage", refuse("invalid_blocks"));
    let root = world.tell(PostRoot, 1);
    world.run();
    assert_eq!(world.statuses(root), [Intended, Intended, Done]);
    world.arm("chat.postMessage", refuse("is_archived"));
    let reply = world.tell(InThread, 2);
    world.run();
    assert_eq!(world.statuses(reply), [Intended, Rejected]);
    assert_eq!(world.committed, Offset(2));
}

#[test]
fn critical_roots_go_first_then_terminal_states_then_replies_then_updates() {
    let mut world = World::new();
    world.tell_of("a", PostRoot, 1, false);
    world.tell_of("b", PostRoot, 1, false);
    world.run();
    world.tell_of("a", UpdateRoot, 2, false);
    world.tell_of("a", InThread, 2, false);
    world.tell_of("c", PostRoot, 1, false);
    world.tell_of("b", UpdateRoot, 2, true);
    let critical = world.tell_of("d", PostRoot, 1, false);
    world.actions[critical].level = Level::Critical;
    world.run();
    let told: Vec<_> = world.workspace.events().skip(2).map(|event| event.text.clone()).collect();
    // All at the same moment, but for posts: the channel lets three through at once, then one a second.
    let place = |text: &str| told.iter().position(|told| told == text).unwrap();
    assert_eq!(place("d root 1"), 0);
    assert!(place("b root 2") < place("a reply 2"));
    assert!(place("c root 1") < place("a reply 2"));
}

#[test]
fn what_is_less_urgent_leaves_places_to_what_wakes_people() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.tell_of(name, PostRoot, 1, false);
    }
    world.take_in().unwrap();
    let choose = |world: &mut World, free| world.ledger.choose(Slots { free, spare: 2 }, world.now).len();
    assert_eq!((choose(&mut world, 4), choose(&mut world, 2)), (2, 0));
    let critical = world.tell_of("critical", PostRoot, 1, false);
    world.actions[critical].level = Level::Critical;
    world.take_in().unwrap();
    assert_eq!(choose(&mut world, 2), 1);
}

#[test]
fn an_action_that_comes_twice_is_told_once() {
    let mut world = World::new();
    world.tell(PostRoot, 1);
    world.tell(InThread, 2);
    world.tell(InThread, 2);
    world.run();
    world.tell(PostRoot, 1);
    world.tell(InThread, 2);
    world.run();
    assert_eq!(world.roots(), [("inc root 1".to_owned(), 1)]);
    assert_eq!(world.committed, Offset(5));
}

fn faults() -> impl Strategy<Value = (&'static str, Fault)> {
    let method = prop_oneof![
        4 => Just("chat.postMessage"),
        3 => Just("chat.update"),
        1 => Just("conversations.history"),
        1 => Just("conversations.replies"),
        1 => Just("conversations.list"),
        1 => Just("chat.delete"),
    ];
    let fault = prop_oneof![
        Just(Fault::Drop),
        Just(Fault::Fail),
        (1..9_000i64).prop_map(|delay_ms| Fault::Late { delay_ms }),
        (1..30i64).prop_map(|retry_after_s| Fault::RateLimit { retry_after_s }),
        Just(Fault::Freeze),
        Just(Fault::Stall),
        (1..500_000i64).prop_map(|delay_ms| Fault::Late { delay_ms }),
        Just(refuse("internal_error")),
        Just(refuse("invalid_auth")),
    ];
    (method, fault)
}

/// Per incident: how many versions, and which of them have a reply and a log.
fn incidents() -> impl Strategy<Value = Vec<Vec<(bool, bool)>>> {
    proptest::collection::vec(proptest::collection::vec(any::<(bool, bool)>(), 1..5), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails and wherever the process dies: one root per incident that shows the last state, every reply once
    /// and in its thread, one log there that shows the last version of it, and no action without an outcome.
    #[test]
    fn one_root_with_the_last_state_and_each_reply_once(
        incidents in incidents(),
        faults in proptest::collection::vec(faults(), 0..8),
        fuses in proptest::collection::vec(0..40u32, 0..6),
        spread in 0..3i64,
    ) {
        let mut world = World::new();
        faults.into_iter().for_each(|(method, fault)| world.arm(method, fault));
        let longest = incidents.iter().map(Vec::len).max().unwrap();
        let mut fuses = fuses.into_iter();
        for version in 1..=longest {
            for (number, versions) in incidents.iter().enumerate().filter(|(_, versions)| version <= versions.len()) {
                let (name, version_told) = (format!("i{number}"), i32::try_from(version).unwrap());
                let kind = if version == 1 { PostRoot } else { UpdateRoot };
                world.tell_of(&name, kind, version_told, version == versions.len());
                let (reply, log) = versions[version - 1];
                if version > 1 && reply {
                    world.tell_of(&name, InThread, version_told, false);
                }
                if log {
                    world.tell_of(&name, Log, version_told, false);
                }
            }
            // How much of it comes while the sink is still busy differs.
            if spread > 0 && version % usize::try_from(spread).unwrap() == 0 {
                world.fuse = fuses.next();
                world.run();
            }
        }
        for fuse in fuses {
            world.fuse = Some(fuse);
            if world.run_until_killed().is_err() {
                world.restart();
            }
        }
        world.fuse = None;
        world.run();
        world.now = world.now.plus_ms(600_000);

        let mut expected: Vec<_> = incidents.iter().enumerate().map(|(number, versions)| {
            let replies = versions.iter().skip(1).filter(|(reply, _)| *reply).count();
            let log = versions.iter().rposition(|(_, log)| *log);
            (format!("i{number} root {}", versions.len()), replies + usize::from(log.is_some()))
        }).collect();
        let mut roots = world.roots();
        expected.sort();
        roots.sort();
        prop_assert_eq!(roots, expected);
        for (number, versions) in incidents.iter().enumerate() {
            let last = versions.iter().rposition(|(_, log)| *log);
            let last: Vec<_> = last.map(|last| format!("i{number} log {}", last + 1)).into_iter().collect();
            prop_assert_eq!(world.logs(&format!("i{number}")), last);
        }
        for action in 0..world.actions.len() {
            let statuses = world.statuses(action);
            let told = statuses.iter().any(|status| matches!(status, Done | Superseded));
            prop_assert!(told, "{}: {statuses:?}", world.actions[action].id);
        }
        prop_assert_eq!(world.committed, Offset(i64::try_from(world.actions.len()).unwrap()));
        prop_assert_eq!(world.ledger.waiting(), 0);
    }
}
