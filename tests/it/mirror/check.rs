//! The sections `clusters` and `mirrors` as `fairlead check` reads them: the shipped example, and every mistake at its place.

use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::{Compiled, compile};
use fairlead::topology::spec::SourceFile;

const EXAMPLE: &str = include_str!("../../../topology/mirrors/example.yaml");

fn compiled(mirrors: &str) -> Compiled {
    let app = "application: fairlead\n";
    let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
    compile(&[("app.yaml", app), ("mirrors/a.yaml", mirrors)].map(file), &catalog())
}

fn told(mirrors: &str) -> Vec<String> {
    compiled(mirrors).problems.iter().map(ToString::to_string).collect()
}

/// All of the example from its first section on, put in force.
#[test]
fn the_shipped_example_would_run_as_it_stands() {
    assert_eq!(compiled(EXAMPLE).topology.map(|topology| topology.settings.mirrors.len()), Some(0));
    let lines = EXAMPLE.lines().skip_while(|line| !line.starts_with("# clusters:"));
    let text: String = lines.map(|line| line.trim_start_matches('#').replacen(' ', "", 1) + "\n").collect();
    let compiled = compiled(&text);
    assert_eq!(compiled.problems, []);
    let settings = compiled.topology.unwrap().settings;
    let mirror = &settings.mirrors["to-new"];
    assert_eq!((mirror.from.as_deref(), mirror.to.as_deref(), mirror.topics.len()), (Some("old"), None, 3));
    assert_eq!(settings.clusters["old"].replication_factor, Some(3));
}

#[test]
fn what_is_wrong_with_mirrors_is_told_at_once_at_its_place() {
    let wrong = "clusters:
  old: { bootstrap_servers: 'old:9092', properties: { sasl.password: hush, sasl.username: me } }
  bare: {}
mirrors:
  to-new:
    from: odl
    topics:
      - { topic: orders, to: shop/orders }
      - { pattern: 'legacy-(.*)', to: '$2' }
      - { topic: x, pattern: y, to: z }
    offsets: ranges
";
    let expected = [
        "mirrors/a.yaml:2:70: clusters.old.properties.sasl.password: a secret must not stand in a file",
        "mirrors/a.yaml:3:9: clusters.bare: nobody would be reached; write `bootstrap_servers: host:9092`",
        "mirrors/a.yaml:6:11: mirrors.to-new.from: there is no cluster `odl` under `clusters`; did you mean `old`?",
        "mirrors/a.yaml:8:30: mirrors.to-new.topics[0].to: `shop/orders` is no legal name for a topic",
        "mirrors/a.yaml:9:39: mirrors.to-new.topics[1].to: the pattern has no group `2`; it has $0 to $1",
        "mirrors/a.yaml:10:9: `topic` and `pattern` exclude each other",
        "mirrors/a.yaml:11:14: mirrors.to-new.offsets: `ranges` does not follow the rule",
    ];
    let told = told(wrong);
    for expected in expected {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}\n{told:#?}");
    }
    assert!(!told.iter().any(|told| told.contains("hush")), "{told:?}");
}
