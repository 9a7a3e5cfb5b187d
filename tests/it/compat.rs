//! Our compatibility checker against Java's verdicts (`cases/compat/`: what is in the corpus, and how it is made anew).

use apache_avro::Schema;
use fairlead::codec::compat::mismatches;

const CORPUS: &str = include_str!("cases/compat/corpus.tsv");

struct Case {
    line: usize,
    java: &'static str,
    reader: &'static str,
    writer: &'static str,
}

fn corpus() -> Vec<Case> {
    let case = |(index, line): (usize, &'static str)| {
        let mut parts = line.split('\t');
        let mut part = || parts.next().unwrap_or_else(|| panic!("corpus.tsv:{}: three columns", index + 1));
        Case { line: index + 1, java: part(), reader: part(), writer: part() }
    };
    CORPUS.lines().enumerate().map(case).collect()
}

fn parse(line: usize, text: &str) -> Schema {
    Schema::parse_str(text).unwrap_or_else(|error| panic!("corpus.tsv:{line}: {error}: {text}"))
}

/// Java is more lax in one known case, told in `Corpus.java`: an answer assumed inside a circle outlives it.
fn java_errs(case: &Case) -> bool {
    case.reader.contains(r#""name":"Circle""#)
}

#[test]
fn our_verdicts_are_javas() {
    let cases = corpus();
    let count = |verdict| cases.iter().filter(|case| case.java == verdict).count();
    assert!(count("yes") > 500 && count("no") > 500 && count("ambiguous") > 0, "the corpus is all there");
    for case in &cases {
        let found = mismatches(&parse(case.line, case.reader), &parse(case.line, case.writer));
        let expected = case.java == "yes" && !java_errs(case);
        assert_eq!(
            found.is_empty(),
            expected,
            "corpus.tsv:{}: Java says {}, we find {found:#?}\nreader {}\nwriter {}",
            case.line,
            case.java,
            case.reader,
            case.writer
        );
    }
}
