//! What OpenTelemetry's names are in Prometheus: the rules of its compatibility specification, with suffixes of unit and type.
//!
//! `http.server.request.duration` in `s` is `http_server_request_duration_seconds`; a counter ends in `_total`, a gauge of unit `1` in
//! `_ratio`; what stands in braces is no unit. The same as Prometheus' own OTLP receiver makes by default
//! (`UnderscoreEscapingWithSuffixes`), so that a rule finds a series by one name, whichever way it comes.

use std::borrow::Cow;

/// Units of OpenTelemetry (UCUM) and the words of Prometheus for them.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("", ""),
];
const PER: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// What a name is of, as far as it matters for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Gauge,
    /// A sum that only grows.
    Counter,
    Other,
}

pub fn metric(name: &str, unit: &str, of: Of) -> String {
    let mut words: Vec<&str> = words(name).collect();
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let per = in_words(per, &PER);
    for word in in_words(main, &UNITS).filter(|unit| !words.contains(unit)).collect::<Vec<_>>() {
        words.push(word);
    }
    let per: Vec<_> = per.filter(|unit| !words.contains(unit)).collect();
    if !per.is_empty() {
        words.push("per");
        words.extend(per);
    }
    let last = match of {
        Of::Counter => Some("total"),
        Of::Gauge if unit == "1" => Some("ratio"),
        Of::Gauge | Of::Other => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let joined = words.join("_");
    if joined.starts_with(|first: char| first.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != ':').filter(|word| !word.is_empty())
}

/// Of a unit that stands for itself, its own words.
fn in_words<'u>(unit: &'u str, known: &[(&str, &'static str)]) -> impl Iterator<Item = &'u str> + use<'u> {
    let unit = unit.trim();
    let unit = if unit.contains(['{', '}']) { "" } else { unit };
    words(known.iter().find(|(told, _)| *told == unit).map_or(unit, |(_, words)| words))
}

/// Letters, digits and underscores; it begins with no digit.
pub fn label(name: &str) -> Cow<'_, str> {
    let is_fit = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let begins_with_digit = name.starts_with(|first: char| first.is_ascii_digit());
    if !begins_with_digit && name.chars().all(is_fit) {
        return Cow::Borrowed(name);
    }
    let fit = name.chars().map(|sign| if is_fit(sign) { sign } else { '_' });
    Cow::Owned(if begins_with_digit { "key_".chars().chain(fit).collect() } else { fit.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_compatibility_specification() {
        for (name, unit, of, expected) in [
            ("system.filesystem.usage", "By", Of::Other, "system_filesystem_usage_bytes"),
            ("system.io", "By", Of::Counter, "system_io_bytes_total"),
            ("http.server.request.duration", "s", Of::Other, "http_server_request_duration_seconds"),
            ("request_duration_seconds", "s", Of::Gauge, "request_duration_seconds"),
            ("network.transmitted", "By/s", Of::Gauge, "network_transmitted_bytes_per_second"),
            ("hw.gpu.memory.utilization", "1", Of::Gauge, "hw_gpu_memory_utilization_ratio"),
            ("broken.ratio.of", "1", Of::Gauge, "broken_of_ratio"),
            ("requests_total", "{request}", Of::Counter, "requests_total"),
            ("requests", "1", Of::Counter, "requests_total"),
            ("queue.length", "{message}/s", Of::Gauge, "queue_length_per_second"),
            ("fan:speed", "rpm", Of::Gauge, "fan:speed_rpm"),
            ("2xx.responses", "", Of::Gauge, "_2xx_responses"),
            ("temp", "Cel", Of::Gauge, "temp_celsius"),
            ("cpu", "%", Of::Gauge, "cpu_percent"),
        ] {
            assert_eq!(metric(name, unit, of), expected, "{name} {unit}");
        }
        for (name, expected) in [("http.method", "http_method"), ("plain_1", "plain_1"), ("1st", "key_1st"), ("ü", "_")]
        {
            assert_eq!(label(name), expected);
        }
    }
}
