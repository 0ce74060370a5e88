//! An upload by TUS, as a client does that goes on behind what the application has, and holds it to what it said.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};

use crate::client::Client;
use crate::history::{Key, Outcome};
use crate::load::{PART_BYTES, PATIENCE, cut};
use crate::rng::Rng;

/// How many in a hundred requests bring all that is left.
const ALL_PERCENT: u64 = 25;
/// How many break off in the middle of their body.
const CUT_PERCENT: u64 = 15;
/// How many clients end their upload in place of a next request, and how many just leave.
const END_PERCENT: u64 = 3;
const LEAVE_PERCENT: u64 = 2;

/// What the client knows of its upload.
struct Upload<'a> {
    client: &'a Client,
    path: String,
    bytes: Bytes,
    /// The most bytes that an answer said are kept.
    kept: usize,
    /// The answer to a request whose bytes reached the end may be lost.
    may_be_whole: bool,
}

/// Sends `bytes` in requests of any length, until what they became is told.
pub(crate) async fn send(client: &Client, key: &Key, bytes: Bytes, rng: &mut Rng) -> Outcome {
    let path = match create(client, key, bytes.len()).await {
        Ok(path) => path,
        // Nobody has its URL, so it must never be seen.
        Err(status) => return Outcome::Refused { status },
    };
    let mut upload = Upload { client, path, bytes, kept: 0, may_be_whole: false };
    let (mut failures, mut status) = (0, 0);
    while failures < PATIENCE {
        match upload.step(rng).await {
            Step::Done(outcome) => return outcome,
            Step::Kept => failures = 0,
            Step::Failed(with) => {
                (failures, status) = (failures + 1, with);
                tokio::time::sleep(Duration::from_millis(200 * failures)).await;
                match upload.ask().await {
                    Step::Done(outcome) => return outcome,
                    Step::Kept => upload.client.observed().resumed += 1,
                    Step::Failed(_) => {}
                }
            }
        }
    }
    match upload.may_be_whole {
        true => Outcome::Unknown { why: format!("the last answer was {status}") },
        false => Outcome::Refused { status },
    }
}

async fn create(client: &Client, key: &Key, length: usize) -> Result<String, u16> {
    let metadata =
        format!("bucket {},key {}", STANDARD.encode(key.bucket), STANDARD.encode(&key.name));
    let create = client.tus(Method::POST, "").header("upload-metadata", metadata);
    let answer = client.send(create.header("upload-length", length)).await.map_err(|_| 0_u16)?;
    let id = answer.location.as_deref().and_then(|url| url.rsplit('/').next());
    let id = id.filter(|_| answer.status == 201).ok_or(answer.status)?;
    Ok(format!("/{id}"))
}

/// What a request came to.
enum Step {
    /// The upload is over.
    Done(Outcome),
    /// More may be sent.
    Kept,
    /// A status; 0 is none.
    Failed(u16),
}

impl Upload<'_> {
    /// The next bytes, or now and then the end.
    async fn step(&mut self, rng: &mut Rng) -> Step {
        if self.kept > 0 && rng.percent(END_PERCENT) {
            let end = self.client.tus(Method::DELETE, &self.path);
            let status = self.client.send(end).await.map_or(0, |answer| answer.status);
            return Step::Done(self.given_up(status));
        }
        if self.kept > 0 && rng.percent(LEAVE_PERCENT) {
            return Step::Done(self.given_up(0));
        }
        let left = self.bytes.slice(self.kept..);
        let piece = usize::try_from(rng.log(1..PART_BYTES as u64)).unwrap_or(PART_BYTES);
        let length = if rng.percent(ALL_PERCENT) { left.len() } else { piece.min(left.len()) };
        let piece = left.slice(..length);
        let broken = length > 1 && rng.percent(CUT_PERCENT);
        let patch = self
            .client
            .tus(Method::PATCH, &self.path)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header("upload-offset", self.kept);
        let patch = match broken {
            true => patch.body(Body::wrap_stream(cut(piece))),
            false => patch.body(piece),
        };
        self.may_be_whole |= !broken && length == left.len();
        match self.client.send(patch).await {
            Ok(answer) if answer.status == 204 => {
                let end = self.kept + length;
                if !broken && answer.offset != u64::try_from(end).ok() {
                    self.lie(&format!("{end} bytes came, and it says {:?}", answer.offset));
                }
                self.told(answer.offset, answer.object)
            }
            Ok(answer) => Step::Failed(answer.status),
            Err(_) => Step::Failed(0),
        }
    }

    /// Asks what is kept.
    async fn ask(&mut self) -> Step {
        let answer = match self.client.send(self.client.tus(Method::HEAD, &self.path)).await {
            Ok(answer) => answer,
            Err(_) => return Step::Failed(0),
        };
        match answer.status {
            200 => self.told(answer.offset, answer.object),
            // Too many, or nobody can say for now: a 503 would make some clients start over.
            status @ (423 | 429) => Step::Failed(status),
            status @ 400..500 => {
                self.lie(&format!("{} bytes were kept, and now it is {status}", self.kept));
                Step::Done(self.given_up(status))
            }
            status => Step::Failed(status),
        }
    }

    /// What an answer says must not be less than what one said before.
    fn told(&mut self, offset: Option<u64>, object: Option<(String, String)>) -> Step {
        let now = offset.and_then(|offset| usize::try_from(offset).ok());
        match now {
            Some(now) if (self.kept..=self.bytes.len()).contains(&now) => self.kept = now,
            _ => {
                self.lie(&format!("{} bytes were kept, and now it is {now:?}", self.kept));
                return Step::Done(self.given_up(0));
            }
        }
        match object {
            Some((version, etag)) => Step::Done(Outcome::Acknowledged { version, etag }),
            None => Step::Kept,
        }
    }

    /// Without its end it must never be seen.
    fn given_up(&self, status: u16) -> Outcome {
        match self.may_be_whole {
            true => Outcome::Unknown { why: format!("given up at {status}") },
            false => Outcome::Refused { status },
        }
    }

    fn lie(&self, what: &str) {
        let line = format!("the upload {} of {} bytes: {what}", self.path, self.bytes.len());
        self.client.observed().broken.push(line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_kept_must_stay() {
        let observed = Arc::default();
        let client = Client::new("http://127.0.0.1:1", "", 1, Arc::clone(&observed)).unwrap();
        let (path, bytes) = ("/1".to_owned(), Bytes::from_static(b"0123456789"));
        let mut upload = Upload { client: &client, path, bytes, kept: 0, may_be_whole: false };
        assert!(matches!(upload.told(Some(5), None), Step::Kept));
        assert!(matches!(upload.told(Some(5), None), Step::Kept));
        assert!(client.observed().broken.is_empty());
        for lie in [Some(4), Some(11), None] {
            assert!(matches!(upload.told(lie, None), Step::Done(Outcome::Refused { .. })));
        }
        assert_eq!(client.observed().broken.len(), 3);
        let object = Some(("v".to_owned(), "e".to_owned()));
        let done = upload.told(Some(10), object);
        assert!(matches!(done, Step::Done(Outcome::Acknowledged { .. })));
        // Its last answer may be lost, so it may turn up.
        upload.may_be_whole = true;
        assert!(matches!(upload.given_up(0), Outcome::Unknown { .. }));
    }
}
