//! From Backstage's `catalog-info.yaml` to the service catalogue: each `Component` is a service, its `spec.owner` the team.
//!
//! What is not a component (groups, systems, resources, …) is passed over. An owner is a reference, `group:default/payments`, of
//! which the name stays. Formats: <https://backstage.io/docs/features/software-catalog/descriptor-format>.

use serde::Deserialize;

use super::{Service, Services};

/// An entity, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    api_version: String,
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    owner: Option<String>,
}

/// Adds the components of one file, which may be several documents. What is wrong with it is said whole: nothing was added then.
pub fn import(text: &str, services: &mut Services) -> Result<(), String> {
    // An empty document between two separators is none.
    let documents: Vec<Option<serde_json::Value>> =
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut found = Services::new();
    for document in documents.into_iter().flatten() {
        let entity: Entity = serde_json::from_value(document).map_err(|error| format!("this is no entity: {error}"))?;
        if !entity.api_version.starts_with("backstage.io/") {
            return Err(format!(
                "`{}` is no apiVersion of Backstage; it begins with backstage.io/",
                entity.api_version
            ));
        }
        if entity.kind != "Component" {
            continue;
        }
        let name = entity.metadata.name;
        let owner = entity.spec.owner.as_deref().map(owner_name).filter(|owner| !owner.is_empty());
        let service = Service { owner: owner.map(str::to_owned), ..Service::default() };
        if services.contains_key(&name) || found.insert(name.clone(), service).is_some() {
            return Err(format!("the component `{name}` is there twice; keep one"));
        }
    }
    services.append(&mut found);
    Ok(())
}

/// `payments` of `group:default/payments`, `group:payments`, `default/payments` and `payments`.
fn owner_name(reference: &str) -> &str {
    reference.trim().rsplit(['/', ':']).next().unwrap_or_default()
}

/// The section as a topology file says it.
pub fn yaml(services: &Services) -> String {
    let mut yaml = "services:\n".to_owned();
    for (name, service) in services {
        let owner = service.owner.as_ref().map(|owner| format!(" owner: {} ", scalar(owner))).unwrap_or_default();
        yaml += &format!("  {}: {{{owner}}}\n", scalar(name));
    }
    if services.is_empty() {
        yaml += "  {}\n";
    }
    yaml
}

/// In quotes wherever YAML might read something else than a name.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*text.to_ascii_lowercase());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOG: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  annotations: { github.com/project-slug: shop/checkout }
spec: { type: service, lifecycle: production, owner: 'group:default/payments', dependsOn: ['resource:orders'] }
---
apiVersion: backstage.io/v1beta1
kind: Component
metadata: { name: search }
spec: { type: service, owner: discovery }
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: { name: payments }
spec: { type: team, children: [] }
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: { name: \"503\" }
spec: { type: website }
---
";

    #[test]
    fn components_become_services_with_the_names_of_their_owners() {
        let mut services = Services::new();
        import(CATALOG, &mut services).unwrap();
        let yaml = yaml(&services);
        assert_eq!(yaml, "services:\n  \"503\": {}\n  checkout: { owner: payments }\n  search: { owner: discovery }\n");
        let read: std::collections::BTreeMap<String, Services> = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read["services"], services);
        assert_eq!(import(CATALOG, &mut services).unwrap_err(), "the component `checkout` is there twice; keep one");
        assert_eq!(super::yaml(&Services::new()), "services:\n  {}\n");
    }

    #[test]
    fn what_is_no_catalogue_is_refused_and_adds_nothing() {
        let mut services = Services::new();
        for (text, problem) in [
            ("a: 1", "this is no entity: missing field `apiVersion`"),
            (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\n",
                "`apps/v1` is no apiVersion of Backstage",
            ),
            ("a: [", ""),
        ] {
            let told = import(text, &mut services).unwrap_err();
            assert!(told.contains(problem), "{text}: {told}");
        }
        assert!(services.is_empty());
    }

    #[test]
    fn an_owner_is_a_reference_of_which_the_name_stays() {
        let names = ["group:default/payments", "user:jane", "shop/payments", "payments", ""].map(owner_name);
        assert_eq!(names, ["payments", "jane", "payments", "payments", ""]);
    }
}
