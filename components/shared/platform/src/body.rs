//! Bodies as raw WASI streams: read, held, spliced (host to host, unread) or pumped.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Body;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult};
use wasip3::wit_future;

use crate::clock::within;
use crate::form::FormFile;

/// The end of a body: trailers, or what broke it.
pub type End = FutureReader<Result<Option<Fields>, ErrorCode>>;

/// Buffer of a pump, in bytes. One read gives at most a frame of the host, about 64 KiB.
pub const PUMP_BUFFER_BYTES: usize = 64 * 1_024;

/// A client that sends nothing for this long is given up.
pub const CLIENT_IDLE_LIMIT: Duration = Duration::from_secs(60);

/// How much of a body is read and dropped after an answer that did not need it, in bytes. A connection that is closed
/// while its client sends is reset, and the reset can take the answer from a client that reads only when it has sent
/// all. Whoever sends more than this blindly may lose it.
pub const LINGER_BYTES: usize = 16 * 1_024 * 1_024;

/// How long such a body is read, whatever comes of it: `lingering_timeout` of nginx.
pub const LINGER_LIMIT: Duration = Duration::from_secs(5);

/// No trailers; dropping the writer writes the default.
#[must_use]
pub fn no_trailers() -> End {
    let (tx, rx) = wit_future::new(|| Ok(None));
    drop(tx);
    rx
}

/// The body of a request that came in. It is taken only when it is first read, so that a refusal
/// before that costs a client with `Expect: 100-continue` nothing. What nobody read is left to its [`Rest`].
pub struct InboundBody {
    state: State,
    /// Whose it is, if it is an answer of another server.
    peer: Option<&'static str>,
    trailers: Trailers,
    rest: Rest,
}

/// The trailers of a body, once it was read to its end. Clones are handles to the same ones.
#[derive(Clone, Default)]
pub struct Trailers(Rc<RefCell<Option<Fields>>>);

impl Trailers {
    /// The values of one, if it came.
    #[must_use]
    pub fn get(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.borrow().as_ref().map(|fields| fields.get(name)).unwrap_or_default()
    }
}

#[derive(Default)]
enum State {
    Untouched(Request),
    Reading(StreamReader<u8>, End),
    #[default]
    Ended,
}

/// What is left of a body that was dropped before its end. A body that was handed on as a stream leaves nothing: whoever
/// took it reads it.
#[derive(Clone, Default)]
pub struct Rest(Rc<RefCell<State>>);

impl Rest {
    /// Reads on beside the answer, and drops what comes: at most [`LINGER_BYTES`], for [`LINGER_LIMIT`] at the most. A
    /// client that `waits` to be told to send is not told, where nothing was read yet.
    pub fn linger(self, waits: bool) {
        let body = InboundBody::of(self.0.take(), None);
        if matches!(body.state, State::Ended)
            || (waits && matches!(body.state, State::Untouched(_)))
        {
            return;
        }
        wasip3::spawn(async move {
            within(LINGER_LIMIT, body.skip(LINGER_BYTES)).await;
        });
    }
}

impl Drop for InboundBody {
    fn drop(&mut self) {
        if !matches!(self.state, State::Ended) {
            self.rest.0.replace(std::mem::take(&mut self.state));
        }
    }
}

impl InboundBody {
    /// Wraps a request whose head was read.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self::of(State::Untouched(request), None)
    }

    fn of(state: State, peer: Option<&'static str>) -> Self {
        Self { state, peer, trailers: Trailers::default(), rest: Rest::default() }
    }

    /// The body of an answer.
    pub(crate) fn of_response(response: Response, peer: &'static str) -> Self {
        let (_verdict, verdict_rx) = wit_future::new(|| Ok(()));
        let (stream, end) = Response::consume_body(response, verdict_rx);
        Self::of(State::Reading(stream, end), Some(peer))
    }

    /// Its trailers, to be asked once it was read.
    #[must_use]
    pub fn trailers(&self) -> Trailers {
        self.trailers.clone()
    }

    /// Where the body goes that is dropped before its end.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.rest.clone()
    }

    /// Reads up to `limit` bytes for nothing.
    async fn skip(mut self, limit: usize) {
        let mut left = limit;
        let mut buffer = Vec::with_capacity(PUMP_BUFFER_BYTES);
        while let Ok(Some(mut bytes)) = self.read_into(buffer).await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
            bytes.clear();
            buffer = bytes;
        }
    }

    /// The stream, to be read or handed on as it is.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the body was taken already.
    pub fn into_stream(mut self) -> Result<(StreamReader<u8>, End), Error> {
        self.open();
        match std::mem::take(&mut self.state) {
            State::Reading(stream, end) => Ok((stream, end)),
            State::Untouched(_) | State::Ended => Err(Error::internal("the body was read already")),
        }
    }

    /// Reads a body that is small by its nature, such as JSON, whole.
    ///
    /// # Errors
    /// As [`Body::read_into`] of [`InboundBody`], and [`Code::EntityTooLarge`]: it is longer than `limit` bytes.
    pub async fn read_whole(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.read().await? {
            whole.extend_from_slice(&bytes);
            if whole.len() > limit {
                let message = format!("The body has at most {limit} bytes");
                return Err(Error::new(Code::EntityTooLarge, message));
            }
        }
        Ok(whole)
    }

    fn open(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Untouched(request) => {
                // Our verdict on the body; dropped, it is Ok. It does not cut the body.
                let (_verdict, verdict_rx) = wit_future::new(|| Ok(()));
                let (stream, end) = Request::consume_body(request, verdict_rx);
                self.state = State::Reading(stream, end);
            }
            other => self.state = other,
        }
    }

    /// Reads into the spare room of `buffer`; `None` at the end of a whole body.
    ///
    /// # Errors
    /// * [`Code::IncompleteBody`]: the client left.
    /// * [`Code::RequestTimeout`]: nothing came for [`CLIENT_IDLE_LIMIT`].
    async fn fill(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        self.open();
        let State::Reading(stream, _) = &mut self.state else { return Ok(None) };
        let Some((result, bytes)) = within(CLIENT_IDLE_LIMIT, stream.read(buffer)).await else {
            self.state = State::Ended;
            if let Some(peer) = self.peer {
                return Err(Error::unavailable(peer, "no bytes come"));
            }
            return Err(Error::new(
                Code::RequestTimeout,
                format!("No bytes came for {} s; send them again", CLIENT_IDLE_LIMIT.as_secs()),
            ));
        };
        if let StreamResult::Complete(_) = result {
            return Ok(Some(bytes));
        }
        // The stream is over; only its end tells whether it was whole.
        if let State::Reading(stream, end) = std::mem::take(&mut self.state) {
            drop(stream);
            let trailers = end.await.map_err(|code| match self.peer {
                Some(peer) => Error::unavailable(peer, format!("{code:?}")),
                None => Error::new(Code::IncompleteBody, "The body ended early; send it again")
                    .because(format!("{code:?}")),
            })?;
            self.trailers.0.replace(trailers);
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// What is uploaded: a request's whole body, or one file of a form.
pub enum UploadBody {
    /// The body of a request.
    Whole(InboundBody),
    /// A file of a form.
    File(FormFile),
}

impl UploadBody {
    /// Reads into `buffer`, which is emptied first; `None` at the end of a whole body.
    ///
    /// # Errors
    /// As [`Body::read_into`] of [`InboundBody`], and for a file as [`FormFile::read_into`].
    pub async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Whole(body) => Body::read_into(body, buffer).await,
            Self::File(file) => file.read_into(buffer).await,
        }
    }

    /// The stream, to be handed on as it is.
    ///
    /// # Errors
    /// [`Code::InternalError`]: a file of a form has none of its own.
    pub fn into_stream(self) -> Result<(StreamReader<u8>, End), Error> {
        match self {
            Self::Whole(body) => body.into_stream(),
            Self::File(_) => Err(Error::internal("a file of a form is spliced")),
        }
    }
}

impl Body for UploadBody {
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        Self::read_into(self, buffer).await
    }
}

impl Body for InboundBody {
    async fn read_into(&mut self, mut buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        buffer.clear();
        if buffer.capacity() < PUMP_BUFFER_BYTES {
            buffer.reserve_exact(PUMP_BUFFER_BYTES);
        }
        self.fill(buffer).await
    }
}
