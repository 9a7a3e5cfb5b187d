mod naive;

use super::*;
use crate::event::{Alert, AlertStatus};

/// The third telling of an alert whose value rises: a 503 of the ingress, in production, with a flag and a threshold.
fn alert() -> Alert<'static> {
    let json = r#"{
        "source": "alertmanager", "fingerprint": "f1", "starts_at_ms": 1700000000000, "ends_at_ms": null, "status": "firing",
        "service": "checkout", "name": "Ingress5xx", "environment": "production", "namespace": null, "value": 1001.0,
        "labels": {"code": "503", "response_flag": "UC", "threshold": "12.5", "größe": "ä"},
        "annotations": {"summary": "<!channel> look"}, "generator_url": null
    }"#;
    serde_json::from_str::<Alert<'_>>(json).unwrap().into_owned()
}

fn compiled(text: &str) -> Expression {
    let expression = Expression::from(text.to_owned());
    assert_eq!(expression.mistakes(), Vec::<String>::new(), "{text}");
    expression
}

fn decided(text: &str, alert: &Alert<'_>) -> Result<bool, Undecided> {
    let scope = Scope { alert, repeats: 3, trend: Trend::Rising };
    let expression = compiled(text);
    let outcome = expression.explain(&scope).1;
    assert_eq!(expression.holds(&scope), outcome == Ok(true), "{text}");
    outcome
}

#[track_caller]
fn table(alert: &Alert<'_>, rows: &[(&str, Result<bool, Undecided>)]) {
    for (text, expected) in rows {
        assert_eq!(decided(text, alert), *expected, "{text}");
    }
}

const NO_LABEL: Result<bool, Undecided> = Err(Undecided::NoEntry(tree::Map::Labels));
const NULL: Result<bool, Undecided> = Err(Undecided::Null);
const OVER: Result<bool, Undecided> = Err(Undecided::Over);

#[test]
fn names_comparisons_and_precedence_are_cels() {
    table(
        &alert(),
        &[
            (r#"alert.labels["code"] == "503""#, Ok(true)),
            (r#"alert.labels.code == '503' && alert.service != "search""#, Ok(true)),
            ("alert.value > 1000.0", Ok(true)),
            ("1000 < alert.value", Ok(true)),
            ("alert.value == 1001", Ok(true)),
            ("alert.value >= 1001.0 && alert.value <= 1001.0 && !(alert.value < 1001.0)", Ok(true)),
            ("repeats >= 3 && trend == 'rising'", Ok(true)),
            ("trend in ['falling', 'none']", Ok(false)),
            ("true || false && false", Ok(true)),
            ("(true || false) && false", Ok(false)),
            ("!true || true", Ok(true)),
            ("1 + 2 * 3 == 7 && 10 - 4 - 3 == 3 && 7 / 2 == 3 && -7 % 3 == -1", Ok(true)),
            ("0x10 == 16 && 1e3 == 1000.0 && .5 < 1.0", Ok(true)),
            ("repeats > 2 ? trend == 'rising' : false", Ok(true)),
            ("false ? true : false ? true : true", Ok(true)),
            ("alert.name < 'J' && 'a' < 'b' && 'Z' < 'a'", Ok(true)),
            ("alert.starts_at_ms - 1700000000000 == 0", Ok(true)),
            ("true // to the end of the line\n && true", Ok(true)),
            (r#""a\tb\u00e4\x41\101" == 'a	bäAA' && r'\d' == "\\d""#, Ok(true)),
        ],
    );
}

#[test]
fn texts_patterns_sizes_and_conversions() {
    table(
        &alert(),
        &[
            (
                r#"alert.name.startsWith("Ingress") && alert.name.endsWith("xx") && alert.name.contains("ress5")"#,
                Ok(true),
            ),
            (r#"alert.name.matches("5x")"#, Ok(true)),
            (r#"alert.name.matches(r"^Ingress\dxx$") && !alert.name.matches("^5xx")"#, Ok(true)),
            (r#"size(alert.labels) == 4 && alert.labels["größe"].size() == 1"#, Ok(true)),
            ("alert.value > double(alert.labels.threshold) * 80.0", Ok(true)),
            ("int(alert.labels.code) / 100 == 5 && int(alert.value) == 1001 && double(repeats) == 3.0", Ok(true)),
            ("double(alert.labels.response_flag) > 1.0", Err(Undecided::NoNumber)),
            ("int(alert.labels.threshold) == 12", Err(Undecided::NoNumber)),
            ("int(alert.value * 1e18) > 0", Err(Undecided::Overflow)),
            ("9223372036854775807 + repeats > 0", Err(Undecided::Overflow)),
            ("repeats / (repeats - 3) == 1", Err(Undecided::DivisionByZero)),
            ("repeats % (repeats - 3) == 1", Err(Undecided::DivisionByZero)),
            ("alert.value / 0.0 > 1e300", Ok(true)),
            // Rounded to a double the whole number would be equal.
            ("9007199254740993 > 9007199254740992.0 && 9007199254740993 != 9007199254740992.0", Ok(true)),
            ("-5 > -5.5 && -5 < -4.5 && 5 < 5.5 && 5 > 4.5", Ok(true)),
        ],
    );
    let long = Alert { name: "x".repeat(pattern::SEARCHED_BYTES_MAX + 1).into(), ..alert() };
    table(&long, &[("alert.name.matches('x')", Err(Undecided::TooLong)), ("alert.name.startsWith('x')", Ok(true))]);
}

#[test]
fn what_is_missing_makes_undecided_what_depends_on_it_and_nothing_else() {
    table(
        &alert(),
        &[
            (r#"alert.labels["flag"] == "UC""#, NO_LABEL),
            (r#"alert.labels["flag"] != "UC""#, NO_LABEL),
            (r#"!(alert.labels["flag"] == "UC")"#, NO_LABEL),
            (r#"alert.labels["flag"] == "UC" || alert.value > 1000.0"#, Ok(true)),
            (r#"alert.value > 1000.0 || alert.labels["flag"] == "UC""#, Ok(true)),
            (r#"alert.labels["flag"] == "UC" || alert.value > 5000.0"#, NO_LABEL),
            (r#"alert.labels["flag"] == "UC" && alert.value > 5000.0"#, Ok(false)),
            (r#"alert.value > 5000.0 && alert.labels["flag"] == "UC""#, Ok(false)),
            (r#"alert.labels["flag"] == "UC" ? true : true"#, NO_LABEL),
            (r#"true ? true : alert.labels["flag"] == "UC""#, Ok(true)),
            (r#""flag" in alert.labels"#, Ok(false)),
            (r#""code" in alert.labels && has(alert.labels.code) && !has(alert.labels.flag)"#, Ok(true)),
            (r#"has(alert.labels.flag) && alert.labels.flag == "UC""#, Ok(false)),
            (r#"!has(alert.labels.flag) || alert.labels.flag == "UC""#, Ok(true)),
            (r#"alert.labels.flag in ["UC"]"#, NO_LABEL),
            (r#"alert.annotations.runbook_url == """#, Err(Undecided::NoEntry(tree::Map::Annotations))),
            // Null equals null only, and has no order and no letters.
            ("alert.namespace == null && alert.environment != null", Ok(true)),
            ("has(alert.environment) && !has(alert.namespace)", Ok(true)),
            ("alert.namespace == 'kube-system'", Ok(false)),
            ("alert.namespace != 'kube-system'", Ok(true)),
            ("alert.namespace in ['kube-system', 'default']", Ok(false)),
            ("alert.namespace < 'z'", NULL),
            ("alert.namespace.startsWith('kube')", NULL),
        ],
    );
    let silent = Alert { value: None, ..alert() };
    let infinite = Alert { value: Some(f64::INFINITY), ..alert() };
    for valueless in [silent, infinite] {
        table(
            &valueless,
            &[
                ("alert.value > 1000.0", NULL),
                ("!(alert.value > 1000.0)", NULL),
                ("alert.value == null && !has(alert.value)", Ok(true)),
                ("alert.value != 5", Ok(true)),
                ("alert.value + 1.0 > 0.0", NULL),
            ],
        );
    }
}

/// What holds for a resolve holds whatever its course was.
#[test]
fn of_a_resolve_nothing_is_known_but_what_it_is() {
    let resolved = Alert { status: AlertStatus::Resolved, ends_at_ms: Some(1_700_000_100_000), ..alert() };
    table(
        &resolved,
        &[
            (r#"alert.labels.code == "503" && alert.environment == "production""#, Ok(true)),
            ("alert.value > 1000.0", OVER),
            ("alert.value < 5000.0 || alert.value >= 5000.0", OVER),
            ("has(alert.value)", OVER),
            ("alert.value == null", OVER),
            ("repeats >= 1", OVER),
            ("trend == 'rising'", OVER),
            ("alert.annotations.summary == ''", OVER),
            ("'summary' in alert.annotations", OVER),
            (r#"alert.labels.response_flag == "UC" || alert.value > 1000.0"#, Ok(true)),
            (r#"alert.labels.response_flag == "UF" && alert.value > 1000.0"#, Ok(false)),
        ],
    );
}

/// Text, where it is wrong, and a piece of what is said.
const MISTAKES: [(&str, &str); 52] = [
    ("", "column 1: the expression ends too early"),
    ("alert.lables.code == '503'", "column 1: an alert has no field `lables`; did you mean `labels`?"),
    ("alrt.name == 'a'", "column 1: nothing is called `alrt`; did you mean `alert`?"),
    ("alert.name == 'a' && alert.valu > 5", "column 22: an alert has no field `valu`; did you mean `value`?"),
    (
        "alert.labels.code == 503",
        "`alert.labels.code` is text, but `503` is a whole number; write \"503\", or double(…)",
    ),
    ("alert.labels.code > 503.5", "is text, but `503.5` is a number; make a number of it: double(…)"),
    ("alert.value > '1000'", "`alert.value` is a number, but `'1000'` is text; leave the quotes out"),
    (
        "alert.labels['code']",
        "column 1: `alert.labels['code']` is text, but true or false is needed here; compare it: == \"…\"",
    ),
    ("alert.value", "is a number, but true or false is needed here; compare it: > 0"),
    ("repeats && true", "column 1: `repeats` is a whole number, but true or false"),
    ("alert == 'x'", "`alert` is the whole alert; name a field of it"),
    ("alert.labels == 'x'", "`alert.labels` is many values; name one of them"),
    ("alert.name.code == 'x'", "`alert.name` is one value and has no fields"),
    ("alert.name['code'] == 'x'", "only labels and annotations have entries; `alert.name` has none"),
    ("alert.labels[5] == 'x'", "column 14: `5` is a whole number, but text is needed here; put it in quotes"),
    ("alert.status == 'resolved'", "`alert.status` is not for rules: a resolve is judged as what it ends"),
    ("alert.ends_at_ms > 5", "`alert.ends_at_ms` is not for rules: a resolve"),
    ("alert.level == 'low'", "`alert.level` is not for rules: these rules give it"),
    ("alert.mention != null", "`alert.mention` is not for rules: these rules give it"),
    ("alert.name != null", "column 1: `alert.name` is never null; leave this out"),
    ("alert.value > null", "`alert.value` is a number, but `null` is null"),
    ("has(alert.name)", "column 5: `alert.name` is always there; leave has(…) out"),
    ("has(repeats)", "column 5: has(…) asks for a field"),
    ("trend == 'risng'", "column 10: there is no trend `risng`; did you mean `rising`?"),
    ("trend in ['worse']", "`trend` is text and never `'worse'`"),
    ("alert.name in ['a', 5]", "column 21: `alert.name` is text and never `5`"),
    ("alert.name in [alert.service]", "a list holds plain texts and numbers only"),
    ("alert.name in []", "nothing is in an empty list"),
    ("alert.name in alert.service", "after `in` stand labels, annotations, or a list"),
    ("['a'] == 'a'", "a list has its place after `in` only"),
    ("repeats + 1.5 > 2.0", "a whole number and one with decimals do not mix"),
    ("alert.name * 2.0 > 1.0", "`alert.name` is text, but a number is needed here; make one of it: double(…)"),
    ("alert.value % 2.0 == 1.0", "`%` is for whole numbers"),
    ("repeats > 1 ? 'a' : 5", "it comes to text or to a whole number"),
    ("alert.name.startWith('x')", "there is no function `startWith`; did you mean `startsWith`?"),
    ("lower(alert.name) == 'x'", "there is no function `lower`; known: double, has, int, size"),
    ("matches(alert.name, 'x')", "write it behind the text: alert.name.matches"),
    ("alert.name.contains()", "`contains` takes one text"),
    ("alert.labels.exists(k, k == 'a')", "the macro `exists` is not taken here"),
    ("alert.name.matches('50[3')", "column 20: `50[3` is no pattern"),
    ("alert.name.matches('a{1000}{1000}')", "is no pattern"),
    ("alert.name.matches(alert.service)", "a pattern stands here as it is, in quotes"),
    ("alert.name = 'x'", "column 12: `=` alone is no operator; write `==`"),
    ("alert.name == 'x' and true", "column 19: `and` is no operator; write `&&`"),
    ("true & false", "`&` alone is no operator; write `&&`"),
    ("alert.name == 'x", "column 15: the text lacks its closing '"),
    ("alert.name == \"\"\"x\"\"\"", "triple quotes are not taken here"),
    (r"alert.name == '\d'", r"`\d` is no escape; write `\\d`"),
    ("(true", "`)` is missing to close the bracket"),
    ("true ? true", "`:` is missing after `?`"),
    ("repeats > 3u", "`3u` is no number"),
    ("true &&\n  alert.nam == 'x'", "line 2, column 3: an alert has no field `nam`; did you mean `name`?"),
];

#[test]
fn every_mistake_is_told_with_its_place_and_its_mend() {
    for (text, expected) in MISTAKES {
        let told = Expression::from(text.to_owned()).mistakes();
        assert!(told.len() == 1 && told[0].contains(expected), "{text}: {told:?}");
        let alert = alert();
        assert!(!Expression::from(text.to_owned()).holds(&Scope { alert: &alert, repeats: 3, trend: Trend::Rising }));
    }
    let several = Expression::from("alert.nam == 'x' && alert.value > '5' && !alert.service".to_owned()).mistakes();
    assert_eq!(several.len(), 3, "{several:?}");
}

#[test]
fn size_and_depth_are_bounded() {
    let told = |text: String| Expression::from(text).mistakes().concat();
    assert!(told(format!("{}true{}", "(".repeat(NESTING_MAX + 1), ")".repeat(NESTING_MAX + 1))).contains("nested"));
    assert!(told(format!("{}true", "!".repeat(NESTING_MAX + 1))).contains("nested more than 32 deep"));
    assert!(told(format!("true{}", " && true".repeat(NODES_MAX))).contains("more than 256 parts"));
    assert!(told(format!("alert{}", ".a".repeat(NODES_MAX))).contains("more than 256 parts"));
    assert!(told(" ".repeat(TEXT_BYTES_MAX + 1)).contains("too long for an expression"));
    assert_eq!(told(format!("{}true{}", "(".repeat(NESTING_MAX), ")".repeat(NESTING_MAX))), "");
    assert_eq!(told(format!("true{}", " && true".repeat(NODES_MAX / 2 - 1))), "");
}

/// Whoever adds a field to the fact is told here that expressions must know it, or say why they do not.
#[test]
fn the_types_of_fields_are_those_of_the_schema() {
    let full = Alert { namespace: Some("shop".into()), generator_url: Some("https://p/".into()), ..alert() };
    table(
        &full,
        &[
            ("alert.source == 'alertmanager' && alert.fingerprint == 'f1' && alert.service == 'checkout'", Ok(true)),
            ("alert.name == 'Ingress5xx' && alert.environment == 'production' && alert.namespace == 'shop'", Ok(true)),
            ("alert.value == 1001.0 && alert.starts_at_ms == 1700000000000", Ok(true)),
            ("alert.generator_url == 'https://p/' && 'code' in alert.labels", Ok(true)),
            ("alert.annotations.summary == '<!channel> look'", Ok(true)),
        ],
    );
}

#[test]
fn what_is_explained_is_each_comparison_with_what_it_looked_at() {
    let alert = alert();
    let scope = Scope { alert: &alert, repeats: 1, trend: Trend::None };
    let text =
        r#"alert.labels["code"] == "503" && (alert.labels.flag == "UC" || alert.value > 1200.0) && repeats * 2 > 1"#;
    let (findings, outcome) = compiled(text).explain(&scope);
    assert_eq!(outcome, NO_LABEL);
    let told: Vec<String> = findings
        .iter()
        .map(|Finding { text, outcome, operands }| {
            let operands: Vec<_> =
                operands.iter().map(|operand| format!("{}={:?}", operand.text, operand.found)).collect();
            format!("{text}: {outcome:?} by {}", operands.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"alert.labels["code"] == "503": Ok(true) by alert.labels["code"]=Ok("\"503\"")"#,
            r#"alert.labels.flag == "UC": Err(NoEntry(Labels)) by alert.labels.flag=Err(NoEntry(Labels))"#,
            r#"alert.value > 1200.0: Ok(false) by alert.value=Ok("1001.0")"#,
            r#"repeats * 2 > 1: Ok(true) by repeats=Ok("1")"#,
        ]
    );
}

#[test]
fn what_can_never_hold_is_seen_where_it_is_simple() {
    for text in [
        "false",
        "alert.name == 'a' && alert.name == 'b'",
        "alert.name == 'a' && repeats > 2 && alert.name != 'a'",
        "alert.name in ['a', 'b'] && alert.name.startsWith('c')",
        "alert.value > 5.0 && alert.value <= 5",
        "alert.value < 3.0 && alert.value > 3.0",
        "(alert.name == 'a' && alert.name == 'b') || false",
        "alert.environment == null && alert.environment == 'test'",
    ] {
        assert!(compiled(text).never_holds(), "{text}");
    }
    for text in [
        "true",
        "alert.name == 'a' || alert.name == 'b'",
        "alert.value >= 5.0 && alert.value <= 5.0",
        "alert.value > 5.0 && alert.value < 6.0",
        "alert.name == 'a' && alert.service == 'b'",
        "alert.labels.a == '1' && alert.labels.b == '2'",
        "alert.name == 'abc' && alert.name.startsWith('a')",
    ] {
        assert!(!compiled(text).never_holds(), "{text}");
    }
}

#[test]
fn what_covers_what_is_seen_where_it_is_simple() {
    let covers = |broad: &str, narrow: &str| compiled(narrow).implies(&compiled(broad));
    for (broad, narrow) in [
        ("true", "alert.name == 'a'"),
        ("alert.name == 'a'", "alert.name == 'a' && alert.value > 5.0"),
        ("alert.name == 'a' && alert.value > 5.0", "alert.value > 7.0 && alert.service == 's' && alert.name == 'a'"),
        ("alert.name == 'a' || alert.name == 'b'", "alert.name == 'b'"),
        ("alert.name in ['a', 'b']", "alert.name == 'a' || alert.name == 'b'"),
        ("alert.name in ['a', 'b', 'c']", "alert.name in ['a', 'b']"),
        ("alert.name.startsWith('Ing')", "alert.name == 'Ingress5xx'"),
        ("alert.name.matches('^Ing')", "alert.name in ['Ingress5xx', 'Ingo']"),
        ("alert.name != 'a'", "alert.name == 'b'"),
        ("alert.value > 1000.0", "alert.value > 1200"),
        ("alert.value >= 1000.0", "1000.0 <= alert.value"),
        ("alert.value < 5.0", "alert.value <= 4.0"),
        ("alert.value != 5.0", "alert.value > 5.0"),
        ("alert.value != null", "alert.value > 5.0"),
        ("has(alert.value)", "alert.value > 5.0"),
        ("has(alert.labels.code)", "alert.labels['code'] == '503'"),
        ("repeats >= 2", "repeats >= 3 && trend == 'rising'"),
        ("!(alert.name == 'a')", "alert.service == 's' && !(alert.name == 'a')"),
    ] {
        assert!(covers(broad, narrow), "{narrow} => {broad}");
    }
    for (broad, narrow) in [
        ("alert.name == 'a' && alert.value > 5.0", "alert.name == 'a'"),
        ("alert.value > 1200.0", "alert.value > 1000.0"),
        ("alert.value > 1000.0", "alert.value >= 1000.0"),
        ("alert.name == 'a'", "alert.service == 'a'"),
        ("alert.labels.a == '1'", "alert.labels.b == '1'"),
        ("has(alert.environment)", "alert.environment != 'test'"),
        ("alert.name in ['a']", "alert.name in ['a', 'b']"),
        // Undecided is not true, so nothing is concluded from what is negated.
        ("!(alert.value > 5.0)", "!(alert.value > 4.0)"),
    ] {
        assert!(!covers(broad, narrow), "{narrow} => {broad}");
    }
}
