//! `POST /api/v1/write` and `POST /v1/metrics`: token, format, body, door, Kafka, answer.
//!
//! 2xx is answered once every sample that a rule selects is durable. What may be sent again is answered with 503, for Prometheus and
//! OpenTelemetry's collector give up after most others: also a body that did not arrive in time. Of a request that was read but holds
//! samples that can never be taken the others are kept; remote write says that with 400, OTLP with a partial success. Requests are not
//! kept as they were received (`ingest.raw`): they are too many.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use prometheus::Registry;

use super::door::{Door, Reason, Sorted};
use super::format::{Encoding, Format, Protocol};
use super::metrics::Metrics;
use super::remote_write_v2::Written;
use super::send::SampleSender;
use super::unpack::{self, NotUnpacked};
use super::{Unreadable, otlp, remote_write, remote_write_v2};
use crate::codec::Formats;
use crate::ingest::answer::Answer;
use crate::ingest::guards::Proof;
use crate::ingest::send::Sending;
use crate::ingest::server::Shared;
use crate::ingest::{Endpoint, Refusal, body};
use crate::record::EventTime;
use crate::trend::select::Selector;

/// A body may become so many times larger, within the budget of all.
const UNPACKED_TIMES: usize = 8;
/// What Prometheus is told of as its mistake; it logs it and does not send it again.
const REFUSED: [Reason; 3] = [Reason::AbsurdTime, Reason::NoSeries, Reason::SeriesTooLong];

pub(in crate::ingest) struct Samples {
    door: Door,
    sender: SampleSender,
    metrics: Metrics,
}

impl Samples {
    /// `None` if no topic is named for them.
    pub fn new(
        sending: &Sending,
        selectors: &[Selector],
        formats: &Arc<Formats>,
        registry: &Registry,
    ) -> Result<Option<Self>, crate::ingest::server::Error> {
        let Some(topic) = &sending.samples else { return Ok(None) };
        let (connection, formats) = (sending.connection.clone(), formats.clone());
        let sender = SampleSender::new(connection, topic.clone(), sending.timeout, formats)?;
        Ok(Some(Self { door: Door::new(selectors.to_vec()), sender, metrics: Metrics::register(registry)? }))
    }
}

pub(in crate::ingest) fn routes(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    [Protocol::RemoteWrite, Protocol::Otlp].into_iter().fold(router, |router, protocol| {
        let take = move |State(shared): State<Arc<Shared>>, request: Request| receive(shared, protocol, request);
        router.route(protocol.path(), post(take))
    })
}

async fn receive(shared: Arc<Shared>, protocol: Protocol, request: Request) -> Response {
    let began = Instant::now();
    let (parts, mut body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let format = protocol.format(header);
    let response = match shared.take_samples(protocol, &format, &parts.headers, &mut body).await {
        Ok((format, sorted, written)) => taken(format, &sorted, written),
        Err(refused) => {
            body::discard(body, &parts.headers).await;
            tracing::debug!(endpoint = protocol.path(), ?refused, "samples were refused");
            refusal(format.ok(), refused)
        }
    };
    shared.metrics.answered(protocol.path(), response.status().as_u16(), began.elapsed());
    response
}

impl Shared {
    async fn take_samples(
        &self,
        protocol: Protocol,
        format: &Result<(Format, Encoding), Refusal>,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<(Format, Sorted, Written), Answer> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let samples = self.samples.as_ref().ok_or(Answer::NoSamples)?;
        Proof::Token(&self.access).by_headers(header)?;
        let (format, encoding) = format.clone().map_err(Answer::OtherMedia)?;
        let _body = self.pay(self.announced(headers)?)?;
        let payload = self.collect(body).await.map_err(|refused| match refused {
            Answer::NoBody => Answer::Unjudged("the body did not arrive in time".to_owned()),
            other => other,
        })?;
        let received = self.clock.now();
        let (sorted, written, _unpacked) = self.sort(&samples.door, (format, encoding), payload, received)?;
        let _sorted = self.pay(sorted.bytes)?;
        samples.sender.send(&sorted.kept, received).await?;
        samples.metrics.stored(protocol.path(), &sorted);
        Ok((format, sorted, written))
    }
}

impl Shared {
    /// Nothing waits here, so that what is unpacked but not yet paid for is of as many requests as there are threads.
    fn sort(
        &self,
        door: &Door,
        (format, encoding): (Format, Encoding),
        payload: Vec<u8>,
        received: EventTime,
    ) -> Result<(Sorted, Written, crate::ingest::server::Paid), Answer> {
        let limit = match format {
            // A point of JSON takes far more room than its text.
            Format::OtlpJson => self.capacity.body_bytes_max,
            _ => (self.capacity.body_bytes_max * UNPACKED_TIMES).min(self.capacity.inflight_bytes_max / 4),
        };
        let unpacked = match encoding {
            Encoding::Snappy => unpack::snappy(&payload, limit),
            Encoding::Gzip => unpack::gzip(&payload, limit),
            Encoding::Identity => Ok(payload),
        };
        let unpacked = unpacked.map_err(|not| match not {
            NotUnpacked::TooLarge => Answer::TooLarge { limit },
            NotUnpacked::Malformed(why) => unreadable(why, "compress it as Content-Encoding says"),
        })?;
        let paid = self.pay(unpacked.len())?;
        let mut sorting = door.sort(received);
        let read = match format {
            Format::RemoteWrite1 => remote_write::read(&unpacked, &mut sorting).map(|()| Written::default()),
            Format::RemoteWrite2 => remote_write_v2::read(&unpacked, &mut sorting),
            Format::OtlpProtobuf => otlp::protobuf(&unpacked, &mut sorting).map(|()| Written::default()),
            Format::OtlpJson => otlp::json(&unpacked, &mut sorting).map(|()| Written::default()),
        };
        let sorted = sorting.end();
        let written = read.map_err(|why| match why {
            Unreadable::Malformed(why) => unreadable(why, "send the message that Content-Type names"),
            Unreadable::TooMany => unreadable(&why.to_string(), "send fewer in one request"),
        })?;
        let limit = self.capacity.inflight_bytes_max / 4;
        if sorted.bytes > limit { Err(Answer::TooLarge { limit }) } else { Ok((sorted, written, paid)) }
    }
}

fn unreadable(why: &str, mend: &str) -> Answer {
    Answer::Unreadable(Refusal::new("$", why, mend))
}

fn taken(format: Format, sorted: &Sorted, written: Written) -> Response {
    match format {
        Format::RemoteWrite1 => remote_write_taken(sorted),
        Format::RemoteWrite2 => {
            let mut response = remote_write_taken(sorted);
            let Written { samples, histograms, exemplars } = written;
            for (name, count) in [
                ("x-prometheus-remote-write-samples-written", samples),
                ("x-prometheus-remote-write-histograms-written", histograms),
                ("x-prometheus-remote-write-exemplars-written", exemplars),
            ] {
                response.headers_mut().insert(HeaderName::from_static(name), count.into());
            }
            response
        }
        Format::OtlpProtobuf => protobuf(StatusCode::OK, otlp::response_protobuf(&sorted.counts)),
        Format::OtlpJson => axum::Json(otlp::response_json(&sorted.counts)).into_response(),
    }
}

fn remote_write_taken(sorted: &Sorted) -> Response {
    let why = sorted.counts.told(&REFUSED);
    if why.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    (StatusCode::BAD_REQUEST, format!("refused, while all others were taken: {why}\n")).into_response()
}

/// As each protocol says it; remote write wants text, and gets the JSON of all endpoints.
fn refusal(format: Option<(Format, Encoding)>, refused: Answer) -> Response {
    let why = refused.told_in_words();
    let response = refused.into_response(Endpoint::AlertmanagerApi);
    match format {
        Some((Format::OtlpProtobuf, _)) => {
            let (parts, _) = response.into_parts();
            let mut said = protobuf(parts.status, otlp::status_protobuf(&why));
            for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
                if let Some(value) = parts.headers.get(&name) {
                    said.headers_mut().insert(name, value.clone());
                }
            }
            said
        }
        Some((Format::OtlpJson, _)) => {
            let (mut parts, _) = response.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            (parts, axum::Json(serde_json::json!({ "message": why }))).into_response()
        }
        _ => response,
    }
}

fn protobuf(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(super::format::PROTOBUF))], body).into_response()
}
