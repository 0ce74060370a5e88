//! `multipart/form-data`.

use holdfast_core::error::{Code, Error};
use holdfast_web::form_data::{
    Boundary, Event, MAX_BOUNDARY_BYTES, MAX_FILENAME_BYTES, MAX_NAME_BYTES, MAX_PARTS, Parser,
    Part,
};

/// The first line is a Content-Type, the second decides how the rest, a body, is cut into chunks. A body of
/// a Content-Type that is refused is read with the boundary `b`.
pub fn check(data: &[u8]) {
    let [content_type, cuts, body] = crate::lines(data);
    let boundary = std::str::from_utf8(content_type).ok().and_then(|it| Boundary::parse(it).ok());
    let boundary = boundary
        .unwrap_or_else(|| Boundary::parse("multipart/form-data; boundary=b").expect("a boundary"));
    assert!((1..=MAX_BOUNDARY_BYTES).contains(&boundary.as_str().len()));

    let whole = read(&boundary, [body]);
    assert_eq!(whole, read(&boundary, body.chunks(1)), "byte by byte");
    assert_eq!(whole, read(&boundary, cut(body, cuts)), "cut at {cuts:?}");
    check_events(&whole, body);
    if whole.end.is_ok() {
        let data: Vec<_> = whole.parts.iter().map(|(_, data)| data.clone()).collect();
        assert_eq!(Some(data), reference(body, boundary.as_str().as_bytes()));
    }
}

/// What a form holds.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    parts: Vec<(Part, Vec<u8>)>,
    /// Whether the last part has ended.
    is_closed: bool,
    end: Result<(), (Code, String)>,
}

fn read<'a>(boundary: &Boundary, chunks: impl IntoIterator<Item = &'a [u8]>) -> Form {
    let mut parser = Parser::new(boundary);
    let mut form = Form { parts: Vec::new(), is_closed: true, end: Ok(()) };
    let end = chunks.into_iter().try_for_each(|chunk| feed(&mut parser, chunk, &mut form));
    form.end = end.and_then(|()| parser.finish()).map_err(|error| (error.code, error.message));
    form
}

fn feed(parser: &mut Parser, chunk: &[u8], form: &mut Form) -> Result<(), Error> {
    let mut rest = chunk;
    while let Some(event) = parser.next(&mut rest)? {
        match event {
            Event::Part(part) => {
                assert!(form.is_closed, "a part within a part");
                form.is_closed = false;
                form.parts.push((part, Vec::new()));
            }
            Event::Data(bytes) => {
                assert!(!form.is_closed && !bytes.is_empty());
                form.parts.last_mut().expect("a part").1.extend_from_slice(bytes);
            }
            Event::PartEnd => {
                assert!(!form.is_closed);
                form.is_closed = true;
            }
            Event::End => assert!(form.is_closed),
        }
    }
    assert!(rest.is_empty(), "a chunk is used up");
    Ok(())
}

/// Chunks whose lengths the input says.
fn cut<'a>(mut body: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for &length in cuts {
        let (chunk, rest) = body.split_at(usize::from(length).min(body.len()));
        chunks.push(chunk);
        body = rest;
    }
    chunks.push(body);
    chunks
}

fn check_events(form: &Form, body: &[u8]) {
    assert!(form.parts.len() <= MAX_PARTS);
    let bytes: usize = form.parts.iter().map(|(_, data)| data.len()).sum();
    assert!(bytes <= body.len());
    for (part, _) in &form.parts {
        assert!(part.name.len() <= MAX_NAME_BYTES);
        assert!(part.filename.as_ref().is_none_or(|name| name.len() <= MAX_FILENAME_BYTES));
    }
    match &form.end {
        Ok(()) => assert!(form.is_closed),
        Err((code, _)) => assert!(matches!(code, Code::MalformedForm | Code::IncompleteBody)),
    }
}

/// The bytes of the parts of a whole form, found the slow way: line by line, in the whole body at once.
fn reference(body: &[u8], boundary: &[u8]) -> Option<Vec<Vec<u8>>> {
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = [b"\r\n", body].concat();
    let mut parts = Vec::new();
    rest = after(&rest, &delimiter)?;
    while !rest.starts_with(b"--") {
        // The empty line's own CR LF stays: it may be the begin of a delimiter.
        let headers = find(&rest, b"\r\n\r\n")?;
        let data = rest.split_off(headers + 2);
        let end = find(&data, &delimiter)?;
        parts.push(data.get(2..end).unwrap_or_default().to_vec());
        rest = after(&data, &delimiter)?;
    }
    Some(parts)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn after(bytes: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    find(bytes, wanted).map(|at| bytes[at + wanted.len()..].to_vec())
}
