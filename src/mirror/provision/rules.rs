//! Access rules between the wire's numbers and Kafka's words, both ways.

use crate::mirror::plan::access::Rule;
use crate::wire::{Acl, AclOperation, PatternKind, Permission, ResourceKind};

const RESOURCES: [(ResourceKind, &str); 6] = [
    (ResourceKind::Topic, "TOPIC"),
    (ResourceKind::Group, "GROUP"),
    (ResourceKind::Cluster, "CLUSTER"),
    (ResourceKind::TransactionalId, "TRANSACTIONAL_ID"),
    (ResourceKind::DelegationToken, "DELEGATION_TOKEN"),
    (ResourceKind::User, "USER"),
];
const PATTERNS: [(PatternKind, &str); 2] = [(PatternKind::Literal, "LITERAL"), (PatternKind::Prefixed, "PREFIXED")];
const PERMISSIONS: [(Permission, &str); 2] = [(Permission::Allow, "ALLOW"), (Permission::Deny, "DENY")];
const OPERATIONS: [(AclOperation, &str); 14] = [
    (AclOperation::All, "ALL"),
    (AclOperation::Read, "READ"),
    (AclOperation::Write, "WRITE"),
    (AclOperation::Create, "CREATE"),
    (AclOperation::Delete, "DELETE"),
    (AclOperation::Alter, "ALTER"),
    (AclOperation::Describe, "DESCRIBE"),
    (AclOperation::ClusterAction, "CLUSTER_ACTION"),
    (AclOperation::DescribeConfigs, "DESCRIBE_CONFIGS"),
    (AclOperation::AlterConfigs, "ALTER_CONFIGS"),
    (AclOperation::IdempotentWrite, "IDEMPOTENT_WRITE"),
    (AclOperation::CreateTokens, "CREATE_TOKENS"),
    (AclOperation::DescribeTokens, "DESCRIBE_TOKENS"),
    (AclOperation::TwoPhaseCommit, "TWO_PHASE_COMMIT"),
];

pub fn rule(acl: &Acl) -> Rule {
    Rule {
        resource: word(&RESOURCES, acl.resource),
        pattern: word(&PATTERNS, acl.pattern),
        name: acl.name.clone(),
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: word(&OPERATIONS, acl.operation),
        permission: word(&PERMISSIONS, acl.permission),
    }
}

/// `None` if it says something that this program does not know.
pub fn acl(rule: &Rule) -> Option<Acl> {
    Some(Acl {
        resource: meant(&RESOURCES, &rule.resource)?,
        pattern: meant(&PATTERNS, &rule.pattern)?,
        name: rule.name.clone(),
        principal: rule.principal.clone(),
        host: rule.host.clone(),
        operation: meant(&OPERATIONS, &rule.operation)?,
        permission: meant(&PERMISSIONS, &rule.permission)?,
    })
}

/// What has no word begins with `OTHER`: a plan leaves such a rule.
fn word<T: Copy + PartialEq + std::fmt::Debug>(words: &[(T, &'static str)], meant: T) -> String {
    let known = words.iter().find(|(known, _)| *known == meant);
    known.map_or_else(|| format!("{meant:?}").to_uppercase(), |(_, word)| (*word).to_owned())
}

fn meant<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, known)| *known == word).map(|(meant, _)| *meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_comes_back_as_it_was_and_one_that_is_not_known_says_so() {
        let acl = |operation| Acl {
            resource: ResourceKind::TransactionalId,
            pattern: PatternKind::Prefixed,
            name: "t".into(),
            principal: "User:a".into(),
            host: "*".into(),
            operation,
            permission: Permission::Deny,
        };
        for (operation, _) in OPERATIONS {
            assert_eq!(super::acl(&rule(&acl(operation))), Some(acl(operation)));
        }
        let unknown = rule(&acl(AclOperation::Other(99)));
        assert_eq!((&*unknown.operation, super::acl(&unknown)), ("OTHER(99)", None));
    }
}
