//! An HTML form whose files are read one after the other, as they come in.

use std::cell::RefCell;
use std::rc::Rc;

use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Body;
use holdfast_web::form_data::{Boundary, Event, FieldValue, Parser, Part};

use crate::body::{InboundBody, PUMP_BUFFER_BYTES};

/// How much of a file that was refused is read for the sake of the files behind it, in bytes.
const MAX_SKIPPED_BYTES: u64 = 64 * 1_024 * 1_024;

/// A form in the middle of being read. Clones are handles to the same one.
#[derive(Clone)]
pub struct Form(Rc<RefCell<Option<Reader>>>);

struct Reader {
    body: InboundBody,
    parser: Parser,
    chunk: Vec<u8>,
    /// How much of the chunk the parser took.
    at: usize,
    in_part: bool,
    /// How many bytes of the form the parser took.
    taken: u64,
}

/// What comes next.
enum Step {
    Part(Part),
    /// It went into the buffer.
    Data,
    PartEnd,
    End,
}

impl Form {
    /// A form of which nothing was read.
    #[must_use]
    pub fn new(body: InboundBody, boundary: &Boundary) -> Self {
        let parser = Parser::new(boundary);
        let reader = Reader { body, parser, chunk: Vec::new(), at: 0, in_part: false, taken: 0 };
        Self(Rc::new(RefCell::new(Some(reader))))
    }

    /// The next part, behind what is left of the one before; `None` at the end of the form.
    ///
    /// # Errors
    /// * [`Code::MalformedForm`], [`Code::IncompleteBody`], [`Code::RequestTimeout`].
    /// * [`Code::EntityTooLarge`]: the rest of a refused file is too long to be read for nothing.
    pub async fn next_part(&self) -> Result<Option<Part>, Error> {
        self.with(async |reader| {
            let mut skipped = 0;
            loop {
                let mut data = Vec::new();
                match reader.step(&mut data).await? {
                    Step::Part(part) => return Ok(Some(part)),
                    Step::End => return Ok(None),
                    Step::PartEnd => {}
                    Step::Data => skipped += data.len() as u64,
                }
                if skipped > MAX_SKIPPED_BYTES {
                    let message = format!(
                        "A file that was refused goes on for more than {MAX_SKIPPED_BYTES} bytes; \
                         send the files behind it in a form of their own"
                    );
                    return Err(Error::new(Code::EntityTooLarge, message).rule("limits.formSkip"));
                }
            }
        })
        .await
    }

    /// The value of the field that [`Form::next_part`] answered.
    ///
    /// # Errors
    /// As [`Form::next_part`], and for a value longer than `max_bytes` what [`FieldValue::push`] says.
    pub async fn field(&self, max_bytes: usize) -> Result<String, Error> {
        let mut value = FieldValue::new(max_bytes);
        let mut part = FormFile(self.clone());
        while let Some(bytes) = part.read().await? {
            value.push(&bytes)?;
        }
        value.into_text()
    }

    /// How many bytes of the form were read so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.borrow().as_ref().map_or(0, |reader| reader.taken)
    }

    /// The bytes of the file that [`Form::next_part`] answered.
    #[must_use]
    pub fn file(&self) -> FormFile {
        FormFile(self.clone())
    }

    /// Takes the reader out for as long as `read` runs: no borrow lives across an await.
    async fn with<T>(
        &self,
        read: impl AsyncFnOnce(&mut Reader) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let taken = self.0.borrow_mut().take();
        // It is lost if what read it was given up in the middle, as where a lease could not be renewed.
        let mut reader = taken.ok_or_else(|| {
            let message =
                "A file of the form was given up in the middle; send the files behind it again";
            Error::new(Code::IncompleteBody, message)
        })?;
        let result = read(&mut reader).await;
        self.0.borrow_mut().replace(reader);
        result
    }
}

/// The bytes of one file of a form.
pub struct FormFile(Form);

impl FormFile {
    /// Reads into `buffer`, which is emptied first; `None` at the end of the file.
    ///
    /// # Errors
    /// As [`Form::next_part`].
    pub async fn read_into(&mut self, mut buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        buffer.clear();
        self.0
            .with(async |reader| {
                if !reader.in_part {
                    return Ok(None);
                }
                match reader.step(&mut buffer).await? {
                    Step::Data => Ok(Some(buffer)),
                    Step::Part(_) | Step::PartEnd | Step::End => Ok(None),
                }
            })
            .await
    }
}

impl Body for FormFile {
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        Self::read_into(self, buffer).await
    }
}

impl Reader {
    /// The next event; bytes of a part are appended to `data`.
    async fn step(&mut self, data: &mut Vec<u8>) -> Result<Step, Error> {
        loop {
            let mut rest = &self.chunk[self.at..];
            let before = rest.len();
            let step = match self.parser.next(&mut rest)? {
                Some(Event::Data(bytes)) => {
                    data.extend_from_slice(bytes);
                    Some(Step::Data)
                }
                Some(Event::Part(part)) => Some(Step::Part(part)),
                Some(Event::PartEnd) => Some(Step::PartEnd),
                Some(Event::End) => Some(Step::End),
                None => None,
            };
            self.at += before - rest.len();
            self.taken += (before - rest.len()) as u64;
            match step {
                Some(Step::Data) => return Ok(Step::Data),
                Some(step) => {
                    self.in_part = matches!(step, Step::Part(_));
                    return Ok(step);
                }
                None => {}
            }
            let mut buffer = std::mem::take(&mut self.chunk);
            buffer.clear();
            if buffer.capacity() < PUMP_BUFFER_BYTES {
                buffer.reserve_exact(PUMP_BUFFER_BYTES);
            }
            self.at = 0;
            match self.body.read_into(buffer).await? {
                Some(chunk) => self.chunk = chunk,
                None => {
                    self.parser.finish()?;
                    self.in_part = false;
                    return Ok(Step::End);
                }
            }
        }
    }
}
