//! Access rules: listed and created.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::{CreateAclsRequest, DescribeAclsRequest, DescribeAclsResponse};

use super::{Admin, Right, text};
use crate::wire::cluster::{Patience, Whom};
use crate::wire::error::{Error, Refusal};
use crate::wire::{Acl, AclOperation, PatternKind, Permission, ResourceKind};

const ACLS_A_REQUEST: usize = 500;
/// In a filter: whatever it is.
const ANY: i8 = 1;

const LIST: Right = Right { what: "list access rules", operation: "Describe", resource: "cluster" };
const CREATE: Right = Right { what: "create access rules", operation: "Alter", resource: "cluster" };
/// As Kafka calls the one resource of the kind.
const CLUSTER: &str = "kafka-cluster";

impl Admin {
    /// All of them, sorted. `None`: the cluster has no authorizer, so that everybody may do everything.
    pub async fn acls(&self) -> Result<Option<Vec<Acl>>, Error> {
        let mut patience = Patience::to(LIST.what);
        loop {
            let make = |_| {
                DescribeAclsRequest::default()
                    .with_resource_type_filter(ANY)
                    .with_resource_name_filter(None)
                    .with_pattern_type_filter(ANY)
                    .with_principal_filter(None)
                    .with_host_filter(None)
                    .with_operation(ANY)
                    .with_permission_type(ANY)
            };
            let told = self.cluster.insist(Whom::Any, &mut patience, make).await?;
            match Refusal::check(told.error_code, told.error_message.as_deref()) {
                Ok(()) => return Ok(Some(read(told))),
                Err(refusal) if refusal.is(ResponseError::SecurityDisabled) => return Ok(None),
                Err(refusal) if refusal.passes() => patience.after_refusal(&refusal).await?,
                Err(refusal) => return Err(LIST.error(refusal, CLUSTER)),
            }
        }
    }

    /// What became of each, in their order. One that is there already is created once more, which changes nothing.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<Vec<Result<(), Refusal>>, Error> {
        let mut outcomes = Vec::with_capacity(acls.len());
        for acls in acls.chunks(ACLS_A_REQUEST) {
            outcomes.extend(self.create_some(acls).await?);
        }
        Ok(outcomes)
    }

    async fn create_some(&self, acls: &[Acl]) -> Result<Vec<Result<(), Refusal>>, Error> {
        let mut patience = Patience::to(CREATE.what);
        loop {
            let make = |_| CreateAclsRequest::default().with_creations(acls.iter().map(creation).collect());
            let told = self.cluster.insist(Whom::Controller, &mut patience, make).await?;
            if told.results.len() != acls.len() {
                return Err(super::unanswered(CREATE.what, CLUSTER));
            }
            let outcomes: Vec<_> = told
                .results
                .into_iter()
                .map(|result| Refusal::check(result.error_code, result.error_message.as_deref()))
                .collect();
            // Creating is repeatable, so all are asked for again where one was put off.
            match outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).find(|refusal| refusal.passes()) {
                Some(refusal) if !patience.is_over() => {
                    self.cluster.doubt();
                    patience.after_refusal(refusal).await?;
                }
                _ => {
                    let explain = |refusal| CREATE.explain(refusal, CLUSTER);
                    return Ok(outcomes.into_iter().map(|outcome| outcome.map_err(explain)).collect());
                }
            }
        }
    }
}

fn read(told: DescribeAclsResponse) -> Vec<Acl> {
    let mut acls: Vec<Acl> = Vec::new();
    for resource in told.resources {
        acls.extend(resource.acls.into_iter().map(|acl| Acl {
            resource: resource_kind(resource.resource_type),
            pattern: pattern_kind(resource.pattern_type),
            name: resource.resource_name.to_string(),
            principal: acl.principal.to_string(),
            host: acl.host.to_string(),
            operation: operation(acl.operation),
            permission: permission(acl.permission_type),
        }));
    }
    acls.sort();
    acls
}

fn creation(acl: &Acl) -> AclCreation {
    let resource = match acl.resource {
        ResourceKind::Other(number) => number,
        kind => number_of(RESOURCES, kind),
    };
    let pattern = match acl.pattern {
        PatternKind::Other(number) => number,
        kind => number_of(PATTERNS, kind),
    };
    let operation = match acl.operation {
        AclOperation::Other(number) => number,
        kind => number_of(OPERATIONS, kind),
    };
    let permission = match acl.permission {
        Permission::Other(number) => number,
        kind => number_of(PERMISSIONS, kind),
    };
    AclCreation::default()
        .with_resource_type(resource)
        .with_resource_name(text(&acl.name))
        .with_resource_pattern_type(pattern)
        .with_principal(text(&acl.principal))
        .with_host(text(&acl.host))
        .with_operation(operation)
        .with_permission_type(permission)
}

const RESOURCES: &[(i8, ResourceKind)] = &[
    (2, ResourceKind::Topic),
    (3, ResourceKind::Group),
    (4, ResourceKind::Cluster),
    (5, ResourceKind::TransactionalId),
    (6, ResourceKind::DelegationToken),
    (7, ResourceKind::User),
];
const PATTERNS: &[(i8, PatternKind)] = &[(3, PatternKind::Literal), (4, PatternKind::Prefixed)];
const OPERATIONS: &[(i8, AclOperation)] = &[
    (2, AclOperation::All),
    (3, AclOperation::Read),
    (4, AclOperation::Write),
    (5, AclOperation::Create),
    (6, AclOperation::Delete),
    (7, AclOperation::Alter),
    (8, AclOperation::Describe),
    (9, AclOperation::ClusterAction),
    (10, AclOperation::DescribeConfigs),
    (11, AclOperation::AlterConfigs),
    (12, AclOperation::IdempotentWrite),
    (13, AclOperation::CreateTokens),
    (14, AclOperation::DescribeTokens),
    (15, AclOperation::TwoPhaseCommit),
];
const PERMISSIONS: &[(i8, Permission)] = &[(2, Permission::Deny), (3, Permission::Allow)];

fn kind_of<K: Copy>(table: &[(i8, K)], number: i8) -> Option<K> {
    table.iter().find(|(found, _)| *found == number).map(|(_, kind)| *kind)
}

/// 0, which Kafka refuses as unknown, for a kind that is not in the table.
fn number_of<K: PartialEq>(table: &[(i8, K)], kind: K) -> i8 {
    table.iter().find(|(_, found)| *found == kind).map_or(0, |(number, _)| *number)
}

fn resource_kind(number: i8) -> ResourceKind {
    kind_of(RESOURCES, number).unwrap_or(ResourceKind::Other(number))
}

fn pattern_kind(number: i8) -> PatternKind {
    kind_of(PATTERNS, number).unwrap_or(PatternKind::Other(number))
}

fn operation(number: i8) -> AclOperation {
    kind_of(OPERATIONS, number).unwrap_or(AclOperation::Other(number))
}

fn permission(number: i8) -> Permission {
    kind_of(PERMISSIONS, number).unwrap_or(Permission::Other(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};

    #[test]
    fn a_rule_that_is_read_is_created_as_it_was() {
        for number in 2..20 {
            let resource = DescribeAclsResource::default()
                .with_resource_type(number)
                .with_resource_name(text("orders"))
                .with_pattern_type(3 + number % 3)
                .with_acls(vec![
                    AclDescription::default()
                        .with_principal(text("User:a"))
                        .with_host(text("*"))
                        .with_operation(number)
                        .with_permission_type(2 + number % 3),
                ]);
            let read = read(DescribeAclsResponse::default().with_resources(vec![resource]));
            let created = creation(&read[0]);
            let numbers =
                (created.resource_type, created.resource_pattern_type, created.operation, created.permission_type);
            assert_eq!(numbers, (number, 3 + number % 3, number, 2 + number % 3), "{read:?}");
        }
        assert_eq!((resource_kind(9), operation(3)), (ResourceKind::Other(9), AclOperation::Read));
    }
}
