//! What the body of a request with samples is, by its headers alone.

use crate::ingest::Refusal;
use crate::ingest::json::shortened;

pub const PROTOBUF: &str = "application/x-protobuf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    RemoteWrite,
    Otlp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    RemoteWrite1,
    RemoteWrite2,
    OtlpProtobuf,
    OtlpJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Snappy,
    Gzip,
    Identity,
}

impl Protocol {
    pub fn path(self) -> &'static str {
        match self {
            Protocol::RemoteWrite => "/api/v1/write",
            Protocol::Otlp => "/v1/metrics",
        }
    }

    /// `header` finds a header by its lower-case name. Fails if it is none of its formats.
    pub fn format<'h>(self, header: impl Fn(&str) -> Option<&'h str>) -> Result<(Format, Encoding), Refusal> {
        let content_type = header("content-type").unwrap_or_default();
        let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let media = media.trim().to_ascii_lowercase();
        let message = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("proto="));
        let format = match (self, &*media, message.map(|name| name.trim_matches('"'))) {
            // Senders of 1.0 that are older than its specification say nothing.
            (Protocol::RemoteWrite, PROTOBUF | "", None) => Some(Format::RemoteWrite1),
            (Protocol::RemoteWrite, PROTOBUF, Some("prometheus.WriteRequest")) => Some(Format::RemoteWrite1),
            (Protocol::RemoteWrite, PROTOBUF, Some("io.prometheus.write.v2.Request")) => Some(Format::RemoteWrite2),
            (Protocol::Otlp, PROTOBUF, _) => Some(Format::OtlpProtobuf),
            (Protocol::Otlp, "application/json", _) => Some(Format::OtlpJson),
            _ => None,
        };
        let format = format.ok_or_else(|| {
            let mend = match self {
                Protocol::RemoteWrite => {
                    "send application/x-protobuf with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
                }
                Protocol::Otlp => "send application/x-protobuf or application/json",
            };
            Refusal::new("$", format!("the content type {:?} is not taken here", shortened(content_type)), mend)
        })?;
        Ok((format, self.encoding(header("content-encoding"))?))
    }

    fn encoding(self, told: Option<&str>) -> Result<Encoding, Refusal> {
        match (self, told.map(str::to_ascii_lowercase).as_deref()) {
            (Protocol::RemoteWrite, Some("snappy") | None) => Ok(Encoding::Snappy),
            (Protocol::Otlp, Some("gzip")) => Ok(Encoding::Gzip),
            (Protocol::Otlp, Some("identity" | "") | None) => Ok(Encoding::Identity),
            (_, other) => {
                let problem = format!("the body is encoded as {:?}", shortened(other.unwrap_or_default()));
                let mend = match self {
                    Protocol::RemoteWrite => "send Content-Encoding: snappy",
                    Protocol::Otlp => "send Content-Encoding: gzip, or none",
                };
                Err(Refusal::new("$", problem, mend))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        protocol: Protocol,
        media: &'static str,
        encoding: Option<&'static str>,
    ) -> Result<(Format, Encoding), String> {
        let header = |name: &str| match name {
            "content-type" => Some(media).filter(|media| !media.is_empty()),
            "content-encoding" => encoding,
            _ => None,
        };
        protocol.format(header).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn the_content_type_names_the_message_and_others_are_refused() {
        let (write, otlp) = (Protocol::RemoteWrite, Protocol::Otlp);
        let snappy = Some("snappy");
        for (protocol, media, encoding, expected) in [
            (write, "application/x-protobuf", snappy, (Format::RemoteWrite1, Encoding::Snappy)),
            (write, "", None, (Format::RemoteWrite1, Encoding::Snappy)),
            (
                write,
                "application/x-protobuf;proto=prometheus.WriteRequest",
                snappy,
                (Format::RemoteWrite1, Encoding::Snappy),
            ),
            (
                write,
                "application/x-protobuf; proto=io.prometheus.write.v2.Request",
                snappy,
                (Format::RemoteWrite2, Encoding::Snappy),
            ),
            (otlp, "application/x-protobuf", Some("gzip"), (Format::OtlpProtobuf, Encoding::Gzip)),
            (otlp, "application/json; charset=utf-8", None, (Format::OtlpJson, Encoding::Identity)),
        ] {
            assert_eq!(of(protocol, media, encoding), Ok(expected), "{media}");
        }
        for (protocol, media, encoding, why) in [
            (write, "application/json", snappy, "content type"),
            (write, "application/x-protobuf;proto=io.prometheus.write.v3.Request", snappy, "content type"),
            (write, "application/x-protobuf", Some("zstd"), "encoded"),
            (write, "application/x-protobuf", Some("gzip"), "encoded"),
            (otlp, "text/plain", None, "content type"),
            (otlp, "", None, "content type"),
            (otlp, "application/json", snappy, "encoded"),
        ] {
            assert!(of(protocol, media, encoding).is_err_and(|said| said.contains(why)), "{media} {encoding:?}");
        }
    }
}
