//! User groups: the last list stands, whatever was lost on the way.

use proptest::prelude::*;

use super::world::{SETTLE_MS, World};
use super::{Done, Intended, Rejected, Superseded, refuse};
use crate::embedded::slack::{Control, Fault};
use crate::event::{SlackAction, SlackActionKind};

const METHOD: &str = "usergroups.users.update";

fn world() -> World {
    let mut world = World::new();
    let group = Control::Group { group: "S0SRE".into(), users: vec!["U0OLD".into()] };
    world.workspace.control(group, world.now.0).unwrap();
    world
}

fn tell(world: &mut World, version: i32) -> usize {
    let index = world.tell_of("group-primary", SlackActionKind::SetGroup, version, false);
    let users = vec![format!("U{version}")];
    let told = std::mem::replace(&mut world.actions[index].channel, "S0SRE".into());
    assert_eq!(told, "#oncall");
    world.actions[index] = SlackAction { users, ..world.actions[index].clone() };
    index
}

fn held(world: &World) -> String {
    world.workspace.group("S0SRE").unwrap().join(",")
}

#[test]
fn a_group_holds_the_last_list_and_lists_between_are_skipped() {
    let mut world = world();
    let first = tell(&mut world, 1);
    world.run();
    let (between, last) = (tell(&mut world, 2), tell(&mut world, 3));
    world.run();
    assert_eq!(held(&world), "U3");
    assert_eq!(
        [first, between, last].map(|at| world.statuses(at)),
        [vec![Intended, Done], vec![Superseded], vec![Intended, Done]]
    );
    // No message comes of it.
    assert_eq!(world.roots(), Vec::new());
    assert_eq!(world.committed.0, 3);
}

#[test]
fn a_lost_answer_is_waited_for_before_the_list_is_sent_again_and_before_a_newer_one() {
    let mut world = world();
    let first = tell(&mut world, 1);
    world.arm(METHOD, Fault::Late { delay_ms: SETTLE_MS - 1_000 });
    world.run_for(1_000);
    let second = tell(&mut world, 2);
    world.run();
    assert_eq!(held(&world), "U2");
    assert_eq!(world.statuses(first), [Intended, Intended, Done]);
    assert_eq!(world.statuses(second), [Intended, Done]);
}

#[test]
fn what_slack_refuses_is_recorded_and_the_next_list_is_told() {
    for code in ["missing_scope", "paid_teams_only", "permission_denied"] {
        let mut world = world();
        world.arm(METHOD, refuse(code));
        let first = tell(&mut world, 1);
        world.run();
        assert_eq!((world.statuses(first), held(&world).as_str()), (vec![Intended, Rejected], "U0OLD"));
        let second = tell(&mut world, 2);
        world.run();
        assert_eq!((world.statuses(second), held(&world).as_str()), (vec![Intended, Done], "U2"));
    }
}

proptest! {
    /// Killed at any step, answers lost or late within the settle delay: the last list stands.
    #[test]
    fn the_last_list_stands_after_any_death(
        lists in 1..5i32,
        kills in prop::collection::vec(0..12u32, 0..4),
        faults in prop::collection::vec(0..5usize, 0..4),
    ) {
        let mut world = world();
        for fault in faults {
            let faults = [Fault::Drop, Fault::Fail, Fault::Stall, Fault::Late { delay_ms: 9_000 }, Fault::RateLimit { retry_after_s: 3 }];
            world.arm(METHOD, faults[fault].clone());
        }
        let mut kills = kills.into_iter();
        for version in 1..=lists {
            tell(&mut world, version);
            world.fuse = kills.next();
            if world.run_until_killed().is_err() {
                world.restart();
            }
        }
        world.fuse = None;
        world.run();
        world.run_for(2 * SETTLE_MS);
        prop_assert_eq!(held(&world), format!("U{lists}"));
        prop_assert_eq!(world.committed.0, i64::from(lists));
    }
}
