//! Connections: frames in, frames out. One request of a connection at a time, in order, as Kafka does it.
//!
//! Bounded: number of connections and how long one may be silent, size of a request, large requests at a time. A frame that breaks
//! the protocol closes its connection only.

use super::api;
use super::node::Node;
use crate::embedded::server::Stopped;
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MAX_CONNECTIONS: usize = 1024;
const MAX_REQUEST_BYTES: usize = 100 << 20;
const READ_BUFFER: usize = 64 << 10;
/// Memory is given to a request as its bytes arrive, at most this much ahead.
const READ_AHEAD: usize = 1 << 20;
/// `connections.max.idle.ms` of Kafka: whoever says nothing, or does not take its answer, for so long gives up its place.
const IDLE: Duration = Duration::from_secs(600);
/// A frame that was begun has to be whole by then.
const FRAME_TIME: Duration = Duration::from_secs(60);
/// Requests of more than [`READ_AHEAD`] that are taken in and answered at a time; others wait for their turn.
const LARGE_AT_ONCE: usize = 8;
/// How long a stop waits for answers that are being given.
const GRACE: Duration = Duration::from_secs(5);

pub async fn serve(node: Arc<Node>, listener: TcpListener, mut stopped: Stopped) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let large = Arc::new(Semaphore::new(LARGE_AT_ONCE));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be freed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("more than {MAX_CONNECTIONS} connections; one refused");
            continue;
        };
        let (node, large, stopped) = (node.clone(), large.clone(), stopped.clone());
        connections.spawn(async move {
            if let Err(error) = converse(&node, stream, &large, stopped).await {
                tracing::debug!(%error, "connection closed");
            }
            drop(place);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        tracing::warn!("connections did not end in time; cut");
    }
}

async fn converse(node: &Arc<Node>, stream: TcpStream, large: &Semaphore, mut stopped: Stopped) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?.ip().to_string();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(READ_BUFFER, reader);
    loop {
        let frame = tokio::select! {
            frame = timeout(IDLE, read_frame(&mut reader, MAX_REQUEST_BYTES, large)) => frame??,
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        // The place of a large request is held until it is answered.
        let Some((frame, _place)) = frame else { return Ok(()) };
        let answer = tokio::select! {
            answer = api::answer(node, &peer, frame) => answer,
            // Long polls and rebalances must not hold up the stop; everything else answers at once.
            () = stop_waiting(&mut stopped) => return Ok(()),
        };
        match answer {
            Ok(Some(answer)) => timeout(IDLE, writer.write_all(&answer)).await??,
            Ok(None) => {}
            Err(refused) => {
                tracing::warn!(peer, %refused, "request refused, connection closed");
                return Ok(());
            }
        }
    }
}

async fn stop_waiting(stopped: &mut Stopped) {
    let _ = stopped.wait_for(|stop| *stop).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// The next frame without its length, or `None` at the end of the stream.
async fn read_frame<'a>(
    reader: &mut (impl AsyncRead + Unpin),
    max: usize,
    large: &'a Semaphore,
) -> io::Result<Option<(Bytes, Option<SemaphorePermit<'a>>)>> {
    let mut prefix = [0; 4];
    match reader.read_exact(&mut prefix).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > max {
        return Err(io::Error::other(format!("a request of {length} bytes is larger than {max}")));
    }
    let place = if length > READ_AHEAD { Some(large.acquire().await.map_err(io::Error::other)?) } else { None };
    Ok(Some((timeout(FRAME_TIME, read_body(reader, length)).await??, place)))
}

async fn read_body(reader: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(length.min(READ_AHEAD));
    while frame.len() < length {
        let left = length - frame.len();
        frame.reserve(left.min(READ_AHEAD));
        if reader.read_buf(&mut (&mut frame).limit(left)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_read_whole_and_absurd_lengths_are_refused() {
        let large = Semaphore::new(1);
        let mut stream: &[u8] = &[0, 0, 0, 2, 7, 8, 0, 0, 0, 0];
        for expected in [Some(&[7, 8][..]), Some(&[]), None] {
            let frame = read_frame(&mut stream, 10, &large).await.unwrap();
            assert_eq!(frame.as_ref().map(|(frame, _)| &frame[..]), expected);
        }
        for broken in [&b"GET / HTTP/1.1\r\n"[..], &[255, 255, 255, 255], &[0, 0, 0, 9, 1]] {
            let mut stream = broken;
            assert!(read_frame(&mut stream, 10, &large).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_large_request_has_its_place_until_it_is_answered() {
        let large = Semaphore::new(1);
        let length = READ_AHEAD + 1;
        let bytes = [&(length as u32).to_be_bytes()[..], &vec![7; length]].concat();
        let (frame, place) = read_frame(&mut &bytes[..], length, &large).await.unwrap().unwrap();
        assert_eq!((frame.len(), large.available_permits()), (length, 0));
        drop(place);
        assert_eq!(large.available_permits(), 1);
    }
}
