//! One request in both encodings, and what neither may do.

use proptest::prelude::*;
use serde_json::json;

use super::super::door::{Door, Sorted};
use super::*;
use crate::record::EventTime;
use crate::trend::select::Selector;

const NOW: EventTime = EventTime(1_795_424_400_000);
const NANOS: i64 = NOW.0 * 1_000_000;

fn door() -> Door {
    Door::new(vec![Selector::parse(r#"{service="checkout",unwanted=""}"#).unwrap()])
}

type Read = fn(&[u8], &mut Sorting<'_>) -> Result<(), Unreadable>;

fn sorted(read: Read, body: &[u8]) -> Sorted {
    let door = door();
    let mut sorting = door.sort(NOW);
    read(body, &mut sorting).unwrap();
    sorting.end()
}

fn attribute(of: &mut Writer, field: u64, key: &str, value: &str) {
    of.message(field, |attribute| {
        attribute.bytes(1, key.as_bytes());
        attribute.message(2, |any| any.bytes(1, value.as_bytes()));
    });
}

/// Field numbers of `NumberDataPoint`.
fn number_point(data: &mut Writer, value: f64, more: impl FnOnce(&mut Writer)) {
    data.message(1, |point| {
        point.fixed64(3, NANOS.cast_unsigned());
        point.double(4, value);
        more(point);
    });
}

fn metric(scope: &mut Writer, name: &str, unit: &str, field: u64, data: impl FnOnce(&mut Writer)) {
    scope.message(2, |metric| {
        metric.bytes(1, name.as_bytes());
        metric.message(field, data);
        metric.bytes(3, unit.as_bytes());
    });
}

fn in_protobuf() -> Vec<u8> {
    let mut request = Writer::default();
    request.message(1, |of_resource| {
        of_resource.message(2, |scope| {
            metric(scope, "queue.length", "{message}", 5, |gauge| {
                number_point(gauge, 7.0, |point| attribute(point, 7, "queue.name", "mail"));
                number_point(gauge, 8.0, |point| attribute(point, 7, "unwanted", "yes"));
                number_point(gauge, 9.0, |point| point.uint(8, 1));
                gauge.message(1, |point| {
                    point.fixed64(3, NANOS.cast_unsigned());
                    point.fixed64(6, (-3_i64).cast_unsigned());
                    attribute(point, 7, "service", "checkout");
                    attribute(point, 7, "a.b", "2");
                    attribute(point, 7, "a-b", "1");
                    point.message(5, |exemplar| exemplar.double(3, 1.0));
                });
            });
            metric(scope, "requests", "1", 7, |sum| {
                number_point(sum, 100.0, |_| ());
                sum.uint(2, 2);
                sum.uint(3, 1);
            });
            metric(scope, "requests.delta", "1", 7, |sum| {
                number_point(sum, 100.0, |_| ());
                sum.uint(2, 1);
            });
            metric(scope, "latency", "s", 9, |histogram| {
                histogram.message(1, |point| {
                    point.fixed64(3, NANOS.cast_unsigned());
                    point.fixed64(4, 6);
                    point.double(5, 4.5);
                    for count in [1_u64, 2, 3] {
                        point.fixed64(6, count);
                    }
                    point.bytes(7, &[0.5_f64.to_le_bytes(), 1.0_f64.to_le_bytes()].concat());
                });
                histogram.uint(2, 2);
            });
            metric(scope, "exponential", "", 10, |histogram| histogram.message(1, |point| point.fixed64(3, 1)));
            metric(scope, "gc", "ms", 11, |summary| {
                summary.message(1, |point| {
                    point.fixed64(3, NANOS.cast_unsigned());
                    point.fixed64(4, 2);
                    point.double(5, 3.0);
                    point.message(6, |quantile| {
                        quantile.double(1, 0.99);
                        quantile.double(2, 2.5);
                    });
                });
            });
        });
        of_resource.message(1, |resource| {
            attribute(resource, 1, "service.name", "checkout");
            attribute(resource, 1, "service.namespace", "shop");
            attribute(resource, 1, "deployment.environment.name", "production");
            attribute(resource, 1, "host.name", "a");
        });
    });
    request.0
}

fn in_json() -> Vec<u8> {
    let said = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let at = NANOS.to_string();
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            said("service.name", "checkout"), said("service.namespace", "shop"),
            said("deployment.environment.name", "production"), said("host.name", "a"),
        ]},
        "scopeMetrics": [{"scope": {"name": "x"}, "metrics": [
            {"name": "queue.length", "unit": "{message}", "gauge": {"dataPoints": [
                {"timeUnixNano": at, "asDouble": 7, "attributes": [said("queue.name", "mail")]},
                {"timeUnixNano": at, "asDouble": 8.0, "attributes": [said("unwanted", "yes")]},
                {"timeUnixNano": at, "asDouble": 9.0, "flags": 1},
                {"timeUnixNano": NANOS, "asInt": "-3", "attributes": [
                    said("service", "checkout"), {"key": "a.b", "value": {"intValue": "2"}},
                    {"key": "a-b", "value": {"doubleValue": 1.0}},
                ], "exemplars": [{"asDouble": 1.0}]},
            ]}},
            {"name": "requests", "unit": "1", "sum": {"isMonotonic": true, "aggregationTemporality": 2,
                "dataPoints": [{"timeUnixNano": at, "asDouble": 100.0}]}},
            {"name": "requests.delta", "unit": "1", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
                "dataPoints": [{"timeUnixNano": at, "asDouble": 100.0}]}},
            {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                "dataPoints": [{"timeUnixNano": at, "count": "6", "sum": 4.5, "bucketCounts": ["1", 2, "3"],
                    "explicitBounds": [0.5, 1.0]}]}},
            {"name": "exponential", "exponentialHistogram": {"dataPoints": [{"timeUnixNano": "1"}]}},
            {"name": "gc", "unit": "ms", "summary": {"dataPoints": [{"timeUnixNano": at, "count": "2", "sum": 3.0,
                "quantileValues": [{"quantile": 0.99, "value": 2.5}]}]}},
        ]}],
    }]})
    .to_string()
    .into_bytes()
}

#[test]
fn both_encodings_become_the_series_that_prometheus_would_have() {
    let expected = [
        (r#"queue_length{environment="production",job="shop/checkout",queue_name="mail",service="checkout"}"#, 7.0),
        (r#"queue_length{environment="production",job="shop/checkout",service="checkout"}"#, STALE_AS),
        (r#"queue_length{a_b="1;2",environment="production",job="shop/checkout",service="checkout"}"#, -3.0),
        (r#"requests_total{environment="production",job="shop/checkout",service="checkout"}"#, 100.0),
        (r#"latency_seconds_sum{environment="production",job="shop/checkout",service="checkout"}"#, 4.5),
        (r#"latency_seconds_count{environment="production",job="shop/checkout",service="checkout"}"#, 6.0),
        (r#"latency_seconds_bucket{environment="production",job="shop/checkout",le="0.5",service="checkout"}"#, 1.0),
        (r#"latency_seconds_bucket{environment="production",job="shop/checkout",le="1",service="checkout"}"#, 3.0),
        (r#"latency_seconds_bucket{environment="production",job="shop/checkout",le="+Inf",service="checkout"}"#, 6.0),
        (r#"gc_milliseconds_sum{environment="production",job="shop/checkout",service="checkout"}"#, 3.0),
        (r#"gc_milliseconds_count{environment="production",job="shop/checkout",service="checkout"}"#, 2.0),
        (r#"gc_milliseconds{environment="production",job="shop/checkout",quantile="0.99",service="checkout"}"#, 2.5),
    ];
    for (read, body) in [(protobuf as Read, in_protobuf()), (json, in_json())] {
        let Sorted { kept, counts, .. } = sorted(read, &body);
        assert!(kept.iter().all(|kept| kept.at_ms == NOW.0));
        let shown = |value: f64| if value.to_bits() == 0x7ff0_0000_0000_0002 { STALE_AS } else { value };
        let told: Vec<_> = kept.iter().map(|kept| (&*kept.series, shown(kept.value))).collect();
        assert_eq!(told, expected);
        let dropped: Vec<_> = counts.of_each_reason().collect();
        let reasons = [Reason::NotSelected, Reason::NativeHistogram, Reason::Exemplar, Reason::Delta];
        assert_eq!(dropped, reasons.map(|reason| (reason, 1)));
    }
}

/// A NaN is not equal to itself.
const STALE_AS: f64 = -1e9;

#[test]
fn what_was_rejected_is_said_as_the_protocol_says_it() {
    let counts = sorted(json, &in_json()).counts;
    let said = response_json(&counts);
    assert_eq!(said["partialSuccess"]["rejectedDataPoints"], "2");
    let why = said["partialSuccess"]["errorMessage"].as_str().unwrap().to_owned();
    assert!(
        why.contains("1 native or exponential") && why.contains("1 of delta") && !why.contains("exemplar"),
        "{why}"
    );
    let mut expected = Writer::default();
    expected.message(1, |partial| {
        partial.uint(1, 2);
        partial.bytes(2, why.as_bytes());
    });
    assert_eq!(response_protobuf(&counts), expected.0);
    assert_eq!((response_protobuf(&Counts::default()), response_json(&Counts::default())), (vec![], json!({})));
}

#[test]
fn an_attribute_that_is_no_text_and_buckets_that_do_not_fit_are_counted() {
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "a", "gauge": {"dataPoints": [
                {"timeUnixNano": "1", "asInt": 1, "attributes": [{"key": "k", "value": {"arrayValue": {"values": []}}}]},
                {"timeUnixNano": NANOS},
                {"timeUnixNano": "0", "asInt": 1},
            ]}},
            {"name": "b", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                {"timeUnixNano": NANOS, "count": 1, "bucketCounts": [1], "explicitBounds": [1.0, 2.0]}]}},
        ]}],
    }]});
    let Sorted { kept, counts, .. } = sorted(json, body.to_string().as_bytes());
    assert_eq!(
        kept.iter().map(|kept| &*kept.series).collect::<Vec<_>>(),
        [r#"b_count{job="checkout",service="checkout"}"#]
    );
    let dropped: Vec<_> = counts.of_each_reason().collect();
    assert_eq!(dropped, [(Reason::AbsurdTime, 1), (Reason::NoValue, 2), (Reason::Attribute, 1)]);
    let read = json(b"{\"resourceMetrics\": 7}", &mut door().sort(NOW));
    assert!(matches!(read, Err(Unreadable::Malformed(_))));
}

proptest! {
    #[test]
    fn no_bytes_panic(noise: Vec<u8>, at: prop::sample::Index, cut: prop::sample::Index) {
        for mut body in [in_protobuf(), in_json()] {
            let at = at.index(body.len());
            body.splice(at..(at + noise.len() / 2).min(body.len()), noise.iter().copied());
            body.truncate(cut.index(body.len() + 1));
            for read in [protobuf as Read, json] {
                let _ = read(&body, &mut door().sort(NOW));
                let _ = read(&noise, &mut door().sort(NOW));
            }
        }
    }
}
