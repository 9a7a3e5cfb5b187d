//! What rules make of an alert, and the catalogue that says who owns what: asked without any cluster.

use super::Home;

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn route_test_shows_which_rules_hold_and_whom_that_wakes() {
    let home = Home::new("routed", NOBODY, "http://127.0.0.1:1");
    let labels = ["route", "test", "Ingress5xx", "service=checkout", "code=503"];
    let told = home.fairlead(&[&labels[..], &["--annotation", "value=1201"]].concat());
    assert!(told.fine, "{}{}", told.out, told.err);
    for line in
        ["Ingress5xx of checkout fires, value 1201.0", "✓ value_above: 1200   (value: 1201.0)", "level     critical: "]
    {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
    assert!(told.out.contains("channel   #oncall-critical, new root, wakes <!subteam^S0SREONCALL>"), "{}", told.out);
    let raised =
        home.fairlead(&[&labels[..], &["--annotation", "value=30", "--before", "10,20", "-o", "json"]].concat());
    let level = &raised.json()[0]["levels"][0];
    assert_eq!((&level["repeats"], &level["trend"], &level["mention"]), (&3.into(), &"rising".into(), &"owner".into()));
    let resolved = home.fairlead(&[&labels[..], &["--resolved"]].concat());
    assert!(
        resolved.out.contains("is resolved\n") && resolved.out.contains("message   none at once"),
        "{}",
        resolved.out
    );

    let payload = home.topology().join("payload.json");
    std::fs::write(&payload, r#"[{"labels":{"alertname":"Watchdog"}},{"labels":{"alertname":"A","severity":"high"}}]"#)
        .unwrap();
    let file = payload.display().to_string();
    let told = home.fairlead(&["route", "test", &file]);
    assert!(
        told.out.contains("level     dropped: it always fires") && told.out.contains("\n\nA of unknown fires\n"),
        "{}",
        told.out
    );
    let refused = home.fairlead(&["route", "test", "--endpoint", "/webhooks/alertmanager", &file]);
    assert!(!refused.fine && refused.err.contains("send it to /api/v2/alerts"), "{}", refused.err);
    let unknown = home.fairlead(&["route", "test", "--endpoint", "/api/v2/alert", &file]);
    assert!(!unknown.fine && unknown.err.contains("did you mean `/api/v2/alerts`?"), "{}", unknown.err);
    let absent = home.fairlead(&["route", "test", "absent.json"]);
    assert!(!absent.fine && absent.err.contains("absent.json cannot be read"), "{}", absent.err);
}

#[test]
fn the_catalogue_of_backstage_becomes_a_section_that_the_topology_takes() {
    let home = Home::new("catalogued", NOBODY, "http://127.0.0.1:1");
    let catalog = home.topology().join("catalog-info.txt");
    let text = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: { name: payments-api }\nspec: { owner: 'group:default/payments' }\n";
    std::fs::write(&catalog, text).unwrap();
    let imported = home.fairlead(&["services", "import", &catalog.display().to_string()]);
    assert_eq!(
        (&*imported.out, imported.fine),
        ("services:\n  payments-api: { owner: payments }\n", true),
        "{}",
        imported.err
    );
    std::fs::write(home.topology().join("services.yaml"), &imported.out).unwrap();
    let unknown = home.fairlead(&["check"]);
    assert!(
        !unknown.fine
            && unknown.out.contains("services.yaml:2:26: services.payments-api.owner: `payments` is no Slack id"),
        "{}",
        unknown.out
    );
    let oncall = home.topology().join("oncall.yaml");
    let text = std::fs::read_to_string(&oncall).unwrap();
    std::fs::write(&oncall, text.replace("        # teams: {", "        teams: {")).unwrap();
    let told = home.fairlead(&["route", "test", "A", "service=payments-api", "severity=high"]);
    assert!(told.out.contains("wakes <!subteam^S0PAYMENTS>"), "{}{}", told.out, told.err);
    std::fs::write(&catalog, "kind: [").unwrap();
    let broken = home.fairlead(&["services", "import", &catalog.display().to_string()]);
    assert!(!broken.fine && broken.err.contains("catalog-info.txt: "), "{}", broken.err);
}
