//! Access rules of a broker, granted and taken back by its administrator in one request each.

use std::time::{Duration, Instant};

use fairlead::topology::graph::acls::{Operation, Pattern, Resource};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

use super::apache::Kafka;
use crate::conformance::wire::{Wire, text};

const ALLOW: i8 = 3;
/// In a filter: whatever it is.
const ANY: i8 = 1;
const PATIENCE: Duration = Duration::from_secs(20);

/// One principal may do one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `User:name`
    pub principal: String,
    pub resource: Resource,
    pub pattern: Pattern,
    pub name: String,
    pub operation: Operation,
}

impl Kafka {
    /// Answers when the broker goes by them.
    pub fn grant(&self, rules: &[Rule]) {
        let creations = rules.iter().map(|rule| {
            AclCreation::default()
                .with_resource_type(number_of_resource(rule.resource))
                .with_resource_name(text(&rule.name))
                .with_resource_pattern_type(number_of_pattern(rule.pattern))
                .with_principal(text(&rule.principal))
                .with_host(text("*"))
                .with_operation(number_of_operation(rule.operation))
                .with_permission_type(ALLOW)
        });
        let mut wire = Wire::to(self.bootstrap());
        let answer = wire.call(3, &CreateAclsRequest::default().with_creations(creations.collect()));
        answer.results.iter().for_each(|result| assert_eq!(result.error_code, 0, "{result:?}"));
        await_each(&mut wire, rules, true);
    }

    /// Whether the broker goes by it.
    pub fn holds(&self, rule: &Rule) -> bool {
        let asked = described(rule);
        !Wire::to(self.bootstrap()).call(3, &asked).resources.is_empty()
    }

    /// Answers when the broker goes by them no longer.
    pub fn revoke(&self, rules: &[Rule]) {
        let filters = rules.iter().map(|rule| {
            DeleteAclsFilter::default()
                .with_resource_type_filter(number_of_resource(rule.resource))
                .with_resource_name_filter(Some(text(&rule.name)))
                .with_pattern_type_filter(number_of_pattern(rule.pattern))
                .with_principal_filter(Some(text(&rule.principal)))
                .with_host_filter(None)
                .with_operation(number_of_operation(rule.operation))
                .with_permission_type(ALLOW)
        });
        let mut wire = Wire::to(self.bootstrap());
        let answer = wire.call(3, &DeleteAclsRequest::default().with_filters(filters.collect()));
        for result in &answer.filter_results {
            assert_eq!((result.error_code, result.matching_acls.len()), (0, 1), "{result:?}");
        }
        await_each(&mut wire, rules, false);
    }
}

/// Those that no decision was asked for what it says, and not only for what it implies.
pub fn superfluous<'r>(rules: &'r [Rule], decisions: &[String]) -> Vec<&'r Rule> {
    let is_used = |rule: &&Rule| {
        let operation = match rule.operation {
            Operation::DescribeConfigs => "DESCRIBE_CONFIGS".to_owned(),
            Operation::AlterConfigs => "ALTER_CONFIGS".to_owned(),
            other => format!("{other:?}").to_uppercase(),
        };
        let asked = format!(" operation = {operation} ");
        let by = format!("resourceName={}, ", rule.name);
        let granted = format!("principal={}, host=*, operation={operation}, ", rule.principal);
        decisions.iter().any(|line| [&asked, &by, &granted].iter().all(|part| line.contains(&***part)))
    };
    rules.iter().filter(|rule| !is_used(rule)).collect()
}

/// The controller has them before the broker does.
fn await_each(wire: &mut Wire, rules: &[Rule], there: bool) {
    let until = Instant::now() + PATIENCE;
    for rule in rules {
        let asked = described(rule);
        while wire.call(3, &asked).resources.is_empty() == there {
            assert!(Instant::now() < until, "the broker does not go by {rule:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn described(rule: &Rule) -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(number_of_resource(rule.resource))
        .with_resource_name_filter(Some(text(&rule.name)))
        .with_pattern_type_filter(number_of_pattern(rule.pattern))
        .with_principal_filter(Some(text(&rule.principal)))
        .with_host_filter(None)
        .with_operation(number_of_operation(rule.operation))
        .with_permission_type(ANY)
}

fn number_of_resource(resource: Resource) -> i8 {
    match resource {
        Resource::Topic => 2,
        Resource::Group => 3,
        Resource::Cluster => 4,
        Resource::TransactionalId => 5,
    }
}

fn number_of_pattern(pattern: Pattern) -> i8 {
    match pattern {
        Pattern::Literal => 3,
        Pattern::Prefixed => 4,
    }
}

fn number_of_operation(operation: Operation) -> i8 {
    match operation {
        Operation::Read => 3,
        Operation::Write => 4,
        Operation::Create => 5,
        Operation::Alter => 7,
        Operation::Describe => 8,
        Operation::DescribeConfigs => 10,
        Operation::AlterConfigs => 11,
    }
}
