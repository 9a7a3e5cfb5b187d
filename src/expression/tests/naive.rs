//! A second evaluator, written to be read against CEL's definition and for nothing else: values are owned, errors are values,
//! nothing is compiled. Expressions are made as trees and written as texts, so that precedence is tried too.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::Text;

#[derive(Clone, Debug)]
enum Term {
    Code,
    Flag,
    Environment,
    Value,
    Repeats,
    Text(&'static str),
    Int(i64),
    Double(f64),
    Sum(Box<Term>, Box<Term>),
}

#[derive(Clone, Debug)]
enum Test {
    Constant(bool),
    HasFlag,
    FlagIn,
    HasValue,
    Is(&'static str, Term, Term),
    StartsWith(Term, &'static str),
    Matches(Term, &'static str),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    If(Box<Test>, Box<Test>, Box<Test>),
}

#[derive(Clone, Debug, PartialEq)]
enum Cel {
    Null,
    Number(f64),
    Text(String),
    Error,
}

/// True, false, or CEL's error.
type Truth = Option<bool>;

/// The alert as CEL sees a message.
#[derive(Debug)]
struct World {
    resolved: bool,
    labels: BTreeMap<String, String>,
    environment: Option<String>,
    value: Option<f64>,
    repeats: i32,
}

impl World {
    fn of(&self, term: &Term) -> Cel {
        let label = |name: &str| self.labels.get(name).map_or(Cel::Error, |value| Cel::Text(value.clone()));
        match term {
            Term::Code => label("code"),
            Term::Flag => label("flag"),
            Term::Environment => self.environment.clone().map_or(Cel::Null, Cel::Text),
            Term::Value | Term::Repeats if self.resolved => Cel::Error,
            Term::Value => self.value.map_or(Cel::Null, Cel::Number),
            Term::Repeats => Cel::Number(f64::from(self.repeats)),
            Term::Text(text) => Cel::Text((*text).to_owned()),
            Term::Int(value) => Cel::Number(*value as f64),
            Term::Double(value) => Cel::Number(*value),
            Term::Sum(left, right) => match (self.of(left), self.of(right)) {
                (Cel::Number(left), Cel::Number(right)) => Cel::Number(left + right),
                _ => Cel::Error,
            },
        }
    }

    fn test(&self, test: &Test) -> Truth {
        match test {
            Test::Constant(value) => Some(*value),
            Test::HasFlag | Test::FlagIn => Some(self.labels.contains_key("flag")),
            Test::HasValue if self.resolved => None,
            Test::HasValue => Some(self.value.is_some()),
            Test::Is(sign, left, right) => match (self.of(left), *sign, self.of(right)) {
                (Cel::Error, ..) | (.., Cel::Error) => None,
                (left, "==", right) => Some(left == right),
                (left, "!=", right) => Some(left != right),
                (Cel::Number(left), sign, Cel::Number(right)) => Some(ordered(sign, left.partial_cmp(&right)?)),
                (Cel::Text(left), sign, Cel::Text(right)) => Some(ordered(sign, left.cmp(&right))),
                _ => None,
            },
            Test::StartsWith(term, prefix) => match self.of(term) {
                Cel::Text(text) => Some(text.starts_with(prefix)),
                _ => None,
            },
            Test::Matches(term, letters) => match self.of(term) {
                Cel::Text(text) => Some(text.chars().any(|c| letters.contains(c))),
                _ => None,
            },
            Test::Not(of) => self.test(of).map(|holds| !holds),
            Test::And(left, right) => match (self.test(left), self.test(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(left, right) => match (self.test(left), self.test(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Test::If(condition, then, otherwise) => self.test(if self.test(condition)? { then } else { otherwise }),
        }
    }

    fn alert(&self) -> Alert<'static> {
        let labels = self.labels.iter().map(|(name, value)| (Text::from(name.clone()), Text::from(value.clone())));
        Alert {
            status: if self.resolved { AlertStatus::Resolved } else { AlertStatus::Firing },
            labels: labels.collect(),
            environment: self.environment.clone().map(Text::from),
            value: self.value,
            ..alert()
        }
    }
}

fn ordered(sign: &str, order: std::cmp::Ordering) -> bool {
    match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn written_term(term: &Term) -> String {
    match term {
        Term::Code => "alert.labels['code']".to_owned(),
        Term::Flag => "alert.labels.flag".to_owned(),
        Term::Environment => "alert.environment".to_owned(),
        Term::Value => "alert.value".to_owned(),
        Term::Repeats => "repeats".to_owned(),
        Term::Text(text) => format!("{text:?}"),
        Term::Int(value) => value.to_string(),
        Term::Double(value) => format!("{value:?}"),
        Term::Sum(left, right) => format!("{} + {}", written_term(left), written_term(right)),
    }
}

/// With brackets only where CEL's precedence needs them; `least` is the precedence that stands without.
fn written(test: &Test, least: u8) -> String {
    let (precedence, text) = match test {
        Test::Constant(value) => (4, value.to_string()),
        Test::HasFlag => (4, "has(alert.labels.flag)".to_owned()),
        Test::FlagIn => (3, "'flag' in alert.labels".to_owned()),
        Test::HasValue => (4, "has(alert.value)".to_owned()),
        Test::Is(sign, left, right) => (3, format!("{} {sign} {}", written_term(left), written_term(right))),
        Test::StartsWith(term, prefix) => (4, format!("{}.startsWith({prefix:?})", written_term(term))),
        Test::Matches(term, letters) => (4, format!("{}.matches('[{letters}]')", written_term(term))),
        Test::Not(of) => (4, format!("!{}", written(of, 4))),
        Test::And(left, right) => (2, format!("{} && {}", written(left, 2), written(right, 3))),
        Test::Or(left, right) => (1, format!("{}||{}", written(left, 1), written(right, 2))),
        Test::If(condition, then, otherwise) => {
            (0, format!("{} ? {} : {}", written(condition, 1), written(then, 1), written(otherwise, 0)))
        }
    };
    if precedence < least { format!("({text})") } else { text }
}

const TEXTS: [&str; 4] = ["503", "UC", "", "ä"];

fn any_text() -> impl Strategy<Value = Term> {
    prop_oneof![
        Just(Term::Code),
        Just(Term::Flag),
        Just(Term::Environment),
        (0..4usize).prop_map(|at| Term::Text(TEXTS[at]))
    ]
}

fn any_whole() -> impl Strategy<Value = Term> {
    let one = prop_oneof![Just(Term::Repeats), (-3..5i64).prop_map(Term::Int)];
    (one.clone(), prop::option::of(one)).prop_map(|(one, more)| match more {
        None => one,
        Some(more) => Term::Sum(Box::new(one), Box::new(more)),
    })
}

fn any_double() -> impl Strategy<Value = Term> {
    let one = prop_oneof![Just(Term::Value), (-3..5i32).prop_map(|value| Term::Double(f64::from(value) / 2.0))];
    (one.clone(), prop::option::of(one)).prop_map(|(one, more)| match more {
        None => one,
        Some(more) => Term::Sum(Box::new(one), Box::new(more)),
    })
}

fn any_test() -> impl Strategy<Value = Test> {
    let sign = || (0..6usize).prop_map(|at| ["==", "!=", "<", "<=", ">", ">="][at]);
    let number = || prop_oneof![any_whole(), any_double()];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Test::Constant),
        Just(Test::HasFlag),
        Just(Test::FlagIn),
        Just(Test::HasValue),
        (sign(), any_text(), any_text()).prop_map(|(sign, left, right)| Test::Is(sign, left, right)),
        (sign(), number(), number()).prop_map(|(sign, left, right)| Test::Is(sign, left, right)),
        (any_text(), 0..4usize).prop_map(|(term, at)| Test::StartsWith(term, TEXTS[at])),
        any_text().prop_map(|term| Test::Matches(term, "U5ä")),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Test::Not),
            (boxed(), boxed()).prop_map(|(left, right)| Test::And(left, right)),
            (boxed(), boxed()).prop_map(|(left, right)| Test::Or(left, right)),
            (boxed(), boxed(), boxed()).prop_map(|(one, two, three)| Test::If(one, two, three)),
        ]
    })
}

fn any_world() -> impl Strategy<Value = World> {
    let text = || prop::option::of((0..4usize).prop_map(|at| TEXTS[at].to_owned()));
    let value = prop::option::of((-3..5i32).prop_map(|value| f64::from(value) / 2.0));
    (any::<bool>(), text(), text(), text(), value, 1..5i32).prop_map(
        |(resolved, code, flag, environment, value, repeats)| {
            let labels = [("code", code), ("flag", flag)].into_iter();
            let labels = labels.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            World { resolved, labels, environment, value, repeats }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_expression_decides_as_the_naive_evaluator_does(test in any_test(), world in any_world()) {
        let text = written(&test, 0);
        let expression = Expression::from(text.clone());
        // A tree may be too large; nothing else may be wrong with it.
        prop_assume!(expression.mistakes().iter().all(|mistake| mistake.contains("parts") || mistake.contains("nested")));
        prop_assume!(expression.mistakes().is_empty());
        let alert = world.alert();
        let scope = Scope { alert: &alert, repeats: world.repeats, trend: Trend::None };
        prop_assert_eq!(expression.explain(&scope).1.ok(), world.test(&test), "{}", text);
    }

    #[test]
    fn what_is_said_to_imply_implies(one in any_test(), other in any_test(), world in any_world()) {
        let [first, second] = [&one, &other].map(|test| Expression::from(written(test, 0)));
        let both = Expression::from(format!("({}) && ({})", first.text(), second.text()));
        let alert = world.alert();
        let scope = Scope { alert: &alert, repeats: world.repeats, trend: Trend::None };
        prop_assert!(!first.never_holds() || !first.holds(&scope), "{}", first.text());
        prop_assert!(!both.never_holds() || !both.holds(&scope), "{}", both.text());
        if first.implies(&second) && first.holds(&scope) {
            prop_assert!(second.holds(&scope), "{} => {}", first.text(), second.text());
        }
        if both.mistakes().is_empty() {
            prop_assert!(both.implies(&first) && both.implies(&second), "{}", both.text());
        }
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place_but_never_a_panic(text in "\\PC{0,40}|[a-z.\\[\\]()'\"0-9 &|!<>=?:+*-]{0,60}") {
        let expression = Expression::from(text);
        let alert = alert();
        let holds = expression.holds(&Scope { alert: &alert, repeats: 1, trend: Trend::None });
        prop_assert!(expression.mistakes().is_empty() || !holds);
        prop_assert!(expression.mistakes().iter().all(|mistake| mistake.starts_with("column ") || mistake.starts_with("line ")));
    }
}
