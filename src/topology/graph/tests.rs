use expect_test::expect;

use super::*;
use crate::topology::catalog::catalog;
use crate::topology::compile::compile;
use crate::topology::spec::SourceFile;

const FILE: &str = "\
application: fairlead
ingest: { alerts: oncall.alerts.v1, deploys: delivery.deploys.v1, open: true }
slack: { actions: oncall.slack-actions.v1, outcomes: oncall.slack-outcomes.v1 }
topics:
  oncall.alerts.v1: { fact: alert, partitions: 4 }
  delivery.deploys.v1: { fact: deploy, partitions: 4, cleanup: compact }
  oncall.incidents.v1: { fact: incident, partitions: 1 }
  oncall.slack-actions.v1: { fact: slack_action, partitions: 2 }
  oncall.slack-outcomes.v1: { fact: slack_outcome, partitions: 2 }
operators:
  strict: { kind: level, sub_topology: oncall, inputs: { alert: oncall.alerts.v1 }, outputs: { dropped: ~ }, config: {} }
  incident: { inputs: { alert: strict.alert }, outputs: { incident: oncall.incidents.v1 }, config: { alerts_max: 5 } }
";

fn topology() -> Topology {
    topology_of(FILE.to_owned())
}

fn topology_of(text: String) -> Topology {
    let compiled = compile(&[SourceFile { name: "a.yaml".to_owned(), text }], &catalog());
    compiled.topology.unwrap_or_else(|| panic!("{:?}", compiled.problems))
}

#[test]
fn the_graph_as_text_names_every_operator_edge_and_topic() {
    let graph = Graph { fingerprint: "0".to_owned(), ..Graph::of(&topology()) };
    expect![[r#"
        fairlead   fingerprint 0

        sub-topology oncall   4 tasks
          strict (kind level) ◄── oncall.alerts.v1
            alert   ──► incident
            dropped ──► only counted
          incident ◄── strict.alert
            incident ──► oncall.incidents.v1

        ingest
          ──► oncall.alerts.v1 (alert)
          ──► delivery.deploys.v1 (deploy)

        slack
          ◄── oncall.slack-actions.v1 (slack_action)
          ◄─► oncall.slack-outcomes.v1 (slack_outcome)

        topics
          delivery.deploys.v1                4 × deploy                   cleanup.policy=compact
          fairlead.dead-letters.v1           1 × dead letters             cleanup.policy=delete retention.ms=2592000000
          fairlead.incident-changelog.v1     4 × changelog of incident    cleanup.policy=compact
          fairlead.journal.v1                1 × journal                  cleanup.policy=delete retention.ms=2592000000
          fairlead.strict-changelog.v1       4 × changelog of strict      cleanup.policy=compact
          oncall.alerts.v1                   4 × alert
          oncall.incidents.v1                1 × incident
          oncall.slack-actions.v1            2 × slack_action
          oncall.slack-outcomes.v1           2 × slack_outcome
    "#]]
    .assert_eq(&text::graph(&graph));
    let operator = graph.operators().find(|operator| operator.name == "incident").unwrap();
    expect![[r#"
        incident   kind incident, in the sub-topology oncall

        inputs
          alert ◄── strict.alert

        ports
          incident ──► oncall.incidents.v1

        state
          fairlead.incident-changelog.v1     4 × changelog of incident    cleanup.policy=compact

        config
          {
            "alerts_max": 5
          }
    "#]]
    .assert_eq(&text::operator(operator, &graph));
}

#[test]
fn the_graph_as_mermaid_draws_stores_topics_and_sections() {
    expect![[r#"
        flowchart LR
          subgraph c_oncall["oncall × 4"]
            o_strict["strict"] --- s_strict[("fairlead.strict-changelog.v1")]
            o_incident["incident"] --- s_incident[("fairlead.incident-changelog.v1")]
          end
          e_ingest{{"ingest"}}
          e_slack{{"slack"}}
          t_delivery__deploys__v1(["delivery.deploys.v1 × 4"])
          t_oncall__alerts__v1(["oncall.alerts.v1 × 4"])
          t_oncall__incidents__v1(["oncall.incidents.v1 × 1"])
          t_oncall__slack_actions__v1(["oncall.slack-actions.v1 × 2"])
          t_oncall__slack_outcomes__v1(["oncall.slack-outcomes.v1 × 2"])
          e_ingest -->|alert| t_oncall__alerts__v1
          e_ingest -->|deploy| t_delivery__deploys__v1
          t_oncall__slack_actions__v1 -->|slack_action| e_slack
          e_slack -->|slack_outcome| t_oncall__slack_outcomes__v1
          t_oncall__slack_outcomes__v1 -->|slack_outcome| e_slack
          t_oncall__alerts__v1 -->|alert| o_strict
          o_strict -->|alert| o_incident
          o_incident -->|incident| t_oncall__incidents__v1
    "#]]
    .assert_eq(&mermaid::graph(&Graph::of(&topology())));
}

#[test]
fn who_keeps_silences_may_follow_what_there_is() {
    let topics = "topics:\n  oncall.silences.v1: { fact: silence, partitions: 1, cleanup: compact }\n  oncall.responses.v1: { fact: \
                  response, partitions: 4 }\n";
    let text = FILE.replace("open: true", "open: true, silences: oncall.silences.v1, responses: oncall.responses.v1");
    let acls = acls::acls(&topology_of(text.replace("topics:\n", topics)));
    let of = |part: &str| -> Vec<acls::Acl> { acls.iter().filter(|acl| acl.part == part).cloned().collect() };
    expect![[r#"
        process     part   resource         name                 operations
        run         ingest topic            delivery.deploys.v1  Write
        run         ingest topic            oncall.alerts.v1     Read, Write
        run         ingest topic            oncall.responses.v1  Write
        run         ingest topic            oncall.silences.v1   Read, Write
        run         ingest group            fairlead.reader      Describe
    "#]]
    .assert_eq(&acls::table(&of("ingest")));
    assert!(of("send").iter().all(|acl| !acl.name.contains("silences") && !acl.name.contains("responses")));
}

#[test]
fn every_part_gets_what_it_needs_and_no_more() {
    let acls = acls::acls(&topology());
    expect![[r#"
        process     part        resource         name                            operations
        run         create      topic            delivery.deploys.v1             Create
        run         create      topic            fairlead.dead-letters.v1        Create
        run         create      topic            fairlead.incident-changelog.v1  Create
        run         create      topic            fairlead.journal.v1             Create
        run         create      topic            fairlead.strict-changelog.v1    Create
        run         create      topic            oncall.alerts.v1                Create
        run         create      topic            oncall.incidents.v1             Create
        run         create      topic            oncall.slack-actions.v1         Create
        run         create      topic            oncall.slack-outcomes.v1        Create
        dead-letter dead-letter topic            fairlead.dead-letters.v1        Read
        dead-letter dead-letter group            fairlead.reader                 Describe
        run         engine      topic            fairlead.dead-letters.v1        Write
        run         engine      topic            fairlead.incident-changelog.v1  Read, Write
        run         engine      topic            fairlead.journal.v1             Write
        run         engine      topic            fairlead.strict-changelog.v1    Read, Write
        run         engine      topic            oncall.alerts.v1                Read
        run         engine      topic            oncall.incidents.v1             Write
        run         engine      group            fairlead.engine                 Read
        run         engine      transactional-id fairlead.engine.*               Write
        run         ingest      topic            delivery.deploys.v1             Write
        run         ingest      topic            oncall.alerts.v1                Write
        lineage     lineage     topic            delivery.deploys.v1             Read
        lineage     lineage     topic            fairlead.dead-letters.v1        Read
        lineage     lineage     topic            fairlead.journal.v1             Read
        lineage     lineage     topic            oncall.alerts.v1                Read
        lineage     lineage     topic            oncall.incidents.v1             Read
        lineage     lineage     topic            oncall.slack-actions.v1         Read
        lineage     lineage     topic            oncall.slack-outcomes.v1        Read
        lineage     lineage     group            fairlead.reader                 Describe
        replay      replay      topic            fairlead.journal.v1             Read
        replay      replay      topic            oncall.alerts.v1                Read
        replay      replay      topic            oncall.incidents.v1             Read
        replay      replay      group            fairlead.reader                 Describe
        retry       retry       topic            fairlead.dead-letters.v1        Read, Write
        retry       retry       topic            oncall.alerts.v1                Write
        retry       retry       topic            oncall.slack-actions.v1         Write
        retry       retry       group            fairlead.reader                 Describe
        retry       retry       transactional-id fairlead.dead-letters.retry     Write
        send        send        topic            delivery.deploys.v1             Write
        send        send        topic            oncall.alerts.v1                Write
        send        send        group            fairlead.reader                 Describe
        run         slack       topic            fairlead.dead-letters.v1        Write
        run         slack       topic            oncall.slack-actions.v1         Read
        run         slack       topic            oncall.slack-outcomes.v1        Read, Write
        run         slack       group            fairlead.sink.slack             Read
        run         slack       transactional-id fairlead.sink.slack.*           Write
        verify      verify      topic            fairlead.dead-letters.v1        Read
        verify      verify      topic            fairlead.incident-changelog.v1  Read
        verify      verify      topic            fairlead.journal.v1             Read
        verify      verify      topic            fairlead.strict-changelog.v1    Read
        verify      verify      topic            oncall.alerts.v1                Read
        verify      verify      topic            oncall.incidents.v1             Read
        verify      verify      group            fairlead.engine                 Describe
        verify      verify      group            fairlead.reader                 Describe
    "#]]
    .assert_eq(&acls::table(&acls));
}

#[test]
fn the_script_allows_each_part_by_a_principal_that_its_first_lines_name() {
    let acls = acls::acls(&topology());
    let commands = acls::commands(&acls, "fairlead");
    assert_eq!(commands.lines().filter(|line| line.starts_with("allow \"$")).count(), acls.len());
    for line in [
        "run=User:fairlead",
        "dead_letter=User:fairlead-dead-letter",
        "allow \"$run\" --operation Write --transactional-id fairlead.engine. --resource-pattern-type prefixed",
        "allow \"$dead_letter\" --operation Read --topic fairlead.dead-letters.v1",
    ] {
        assert!(commands.lines().any(|found| found == line), "{line}: {commands}");
    }
}

#[test]
fn topics_of_others_are_drawn_and_only_read() {
    let text = FILE.replace("open: true", "open: true, kafka: [{ topic: argo.cdevents, format: cloudevents }]");
    let compiled = compile(&[SourceFile { name: "a.yaml".to_owned(), text }], &catalog());
    let topology = compiled.topology.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let graph = Graph::of(&topology);
    assert!(
        text::graph(&graph).contains("\ningest\n  ◄── argo.cdevents (cloudevents)\n  ──► oncall.alerts.v1 (alert)\n")
    );
    let drawn = mermaid::graph(&graph);
    for line in ["  t_argo__cdevents([\"argo.cdevents\"])", "  t_argo__cdevents -->|cloudevents| e_ingest"] {
        assert_eq!(drawn.lines().filter(|drawn| *drawn == line).count(), 1, "{line}: {drawn}");
    }
    let before: Vec<_> = acls::acls(&self::topology());
    let more: Vec<_> = acls::acls(&topology).into_iter().filter(|acl| !before.contains(acl)).collect();
    expect![[r#"
        process     part   resource         name                            operations
        run         ingest topic            argo.cdevents                   Read
        run         ingest topic            fairlead.dead-letters.v1        Write
        run         ingest group            fairlead.ingest.argo.cdevents   Read
        run         ingest transactional-id fairlead.ingest.argo.cdevents.* Write
        retry       retry  topic            delivery.deploys.v1             Write
    "#]]
    .assert_eq(&acls::table(&more));
    assert!(!acls::acls(&topology).iter().any(|acl| acl.part == "create" && acl.name == "argo.cdevents"));
}

#[test]
fn a_mirror_needs_rights_on_both_of_its_clusters() {
    let mirrors = "
clusters: { old-eu: { bootstrap_servers: 'a:1' } }
mirrors:
  there:
    from: old-eu
    acls: true
    topics: [{ topic: orders, to: shop.orders.v1 }, { pattern: 'legacy-(.*)', to: 'new.$1' }]
    groups: { include: ['team-.*'] }
  back: { reverse_of: there }
";
    let acls = acls::acls(&topology_of(FILE.to_owned() + mirrors));
    let own: Vec<_> = acls.iter().filter(|acl| acl.part == "mirror" && acl.cluster.is_none()).cloned().collect();
    expect![[r#"
        process     part   resource         name                         operations
        run         mirror topic            migration.group-offsets.v1   Read, Write, Create, DescribeConfigs
        run         mirror topic            migration.mirror-offsets.v1  Read, Write, Create, DescribeConfigs
        run         mirror topic            new.*                        Read, DescribeConfigs, Write, Create, Alter, AlterConfigs
        run         mirror topic            shop.orders.v1               Read, DescribeConfigs, Write, Create, Alter, AlterConfigs
        run         mirror group            fairlead.mirror.back         Describe
        run         mirror group            fairlead.mirror.there        Read
        run         mirror group            fairlead.reader              Describe
        run         mirror group            team-*                       Read
        run         mirror transactional-id fairlead.mirror.there.*      Write
        run         mirror cluster          kafka-cluster                Describe, Alter
    "#]]
    .assert_eq(&acls::table(&own));
    let old: Vec<_> = acls.iter().filter(|acl| acl.cluster.is_some()).cloned().collect();
    expect![[r#"
        process     part   resource         name                         operations

        on cluster old-eu:
        run         mirror topic            legacy-*                     Read, Write, Create, Alter, AlterConfigs, DescribeConfigs
        run         mirror topic            migration.mirror-offsets.v1  Read, Write, Create, DescribeConfigs
        run         mirror topic            orders                       Read, Write, Create, Alter, AlterConfigs, DescribeConfigs
        run         mirror group            fairlead.mirror.back         Read
        run         mirror group            fairlead.mirror.there        Describe
        run         mirror group            fairlead.reader              Describe
        run         mirror group            team-*                       Describe
        run         mirror transactional-id fairlead.mirror.back.*       Write
        run         mirror cluster          kafka-cluster                Describe
    "#]]
    .assert_eq(&acls::table(&old));
    let script = acls::commands(&acls, "fairlead");
    for line in [
        "KAFKA=$KAFKA_OLD_EU ADMIN=${ADMIN_OLD_EU:-}",
        "allow \"$run\" --operation Describe --cluster",
        "allow \"$run\" --operation Describe --group team- --resource-pattern-type prefixed",
    ] {
        assert!(script.lines().any(|found| found == line), "{line}: {script}");
    }
}
