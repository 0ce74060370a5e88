use holdfast_core::error::{Code, Error};
use proptest::prelude::*;

use super::*;

const CONTENT_TYPE: &str = "multipart/form-data; boundary=b";

/// What a form holds, with the pieces of data put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Part(Part),
    Data(Vec<u8>),
    PartEnd,
    End,
}

fn parse_chunks<'a>(
    boundary: &Boundary,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Result<(), Error>) {
    let mut parser = Parser::new(boundary);
    let mut seen = Vec::new();
    for chunk in chunks {
        let mut rest = chunk;
        loop {
            match parser.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(event)) => push(&mut seen, event),
                Err(error) => {
                    assert!(parser.next(&mut &b"x"[..]).is_err());
                    assert!(parser.finish().is_err());
                    return (seen, Err(error));
                }
            }
        }
        assert!(rest.is_empty());
    }
    (seen, parser.finish())
}

fn push(seen: &mut Vec<Seen>, event: Event<'_>) {
    match (event, seen.last_mut()) {
        (Event::Data(bytes), Some(Seen::Data(data))) => data.extend_from_slice(bytes),
        (Event::Data(bytes), _) => {
            assert!(!bytes.is_empty());
            seen.push(Seen::Data(bytes.to_vec()));
        }
        (Event::Part(part), _) => seen.push(Seen::Part(part)),
        (Event::PartEnd, _) => seen.push(Seen::PartEnd),
        (Event::End, _) => seen.push(Seen::End),
    }
}

fn parse(body: &[u8]) -> (Vec<Seen>, Result<(), Error>) {
    parse_chunks(&Boundary::parse(CONTENT_TYPE).expect("a boundary"), [body])
}

/// The parts of a form that is whole: their names and bytes.
fn parts(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (seen, end) = parse(body);
    end.expect("a whole form");
    assert_eq!(seen.last(), Some(&Seen::End));
    let mut parts = Vec::new();
    for seen in seen {
        match seen {
            Seen::Part(part) => parts.push((part.name, Vec::new())),
            Seen::Data(bytes) => parts.last_mut().expect("a part").1 = bytes,
            Seen::PartEnd | Seen::End => {}
        }
    }
    parts
}

fn code(body: &[u8]) -> Code {
    parse(body).1.expect_err("refused").code
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

#[test]
fn a_form_as_a_browser_sends_it() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/b.txt\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nHello\r\n\r\n--b--\r\n";
    let part = |name: &str, filename: Option<&str>, content_type: Option<&str>| {
        Seen::Part(Part {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
            content_type: content_type.map(str::to_owned),
        })
    };
    let (seen, end) = parse(body.as_bytes());
    end.expect("whole");
    assert_eq!(
        seen,
        [
            part("key", None, None),
            Seen::Data(b"a/b.txt".to_vec()),
            Seen::PartEnd,
            part("file", Some("x.txt"), Some("text/plain")),
            Seen::Data(b"Hello\r\n".to_vec()),
            Seen::PartEnd,
            Seen::End,
        ]
    );
}

#[test]
fn bytes_that_look_like_a_delimiter_are_data() {
    for bytes in [
        &b""[..],
        b"\r",
        b"\r\n",
        b"\r\n-",
        b"\r\n--",
        b"\r\n--c",
        b"\r\r\n--\r\n-\r",
        b"--b",
        b"\n--b",
        b"\r--b",
        b"x--b--",
        b"\r\n\r\n",
        b"-",
        b"--",
    ] {
        // At the very begin of a part `--b` is a delimiter: it begins a line.
        let bytes = [b"x", bytes].concat();
        assert_eq!(
            parts(&form(&[("a", &bytes), ("b", &bytes)])),
            [("a".to_owned(), bytes.clone()), ("b".to_owned(), bytes.clone())]
        );
    }
}

#[test]
fn an_empty_part_with_and_without_a_line_of_its_own() {
    assert_eq!(parts(&form(&[("a", b"")])), [("a".to_owned(), Vec::new())]);
    let body = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--";
    assert_eq!(parts(body), [("a".to_owned(), Vec::new())]);
    // The two bytes that were imagined before `--b` are none of the part's.
    let data = b"--not the boundary".to_vec();
    let body = form(&[("a", &data)]);
    let boundary = Boundary::parse(CONTENT_TYPE).expect("a boundary");
    for size in [1, 2, 3, body.len()] {
        let (seen, end) = parse_chunks(&boundary, body.chunks(size));
        end.expect("whole");
        assert_eq!(seen[1], Seen::Data(data.clone()), "in chunks of {size}");
    }
}

#[test]
fn what_rfc_2046_allows_around_the_parts() {
    let part = "Content-Disposition: form-data; name=a\r\n\r\nx";
    let wanted = [("a".to_owned(), b"x".to_vec())];
    for body in [
        format!("\r\n--b\r\n{part}\r\n--b--"),
        format!("preamble\r\n--b\r\n{part}\r\n--b--epilogue\r\n--b\r\n"),
        format!("--b \t\r\n{part}\r\n--b--"),
        format!("--c\r\n--b\r\n{part}\r\n--b-- \r\n"),
    ] {
        assert_eq!(parts(body.as_bytes()), wanted, "{body}");
    }
    assert_eq!(parts(b"--b--"), []);
}

#[test]
fn a_form_that_ends_early() {
    let body = form(&[("a", b"x"), ("b", b"y")]);
    let end = body.len() - 2;
    for length in 0..end {
        assert_eq!(code(&body[..length]), Code::IncompleteBody, "{length}");
    }
    assert!(parse(&body[..end]).1.is_ok());
}

#[test]
fn refusals() {
    let part = "Content-Disposition: form-data; name=a\r\n\r\nx";
    for body in [
        format!("--bb\r\n{part}\r\n--bb--"),
        format!("--b\n{part}\n--b--"),
        format!("--b-\r\n{part}"),
        format!("--b --\r\n{part}"),
        format!("--b\r{part}"),
        format!("--b\r\n{part}\r\n--bx\r\n"),
        format!("--b{}\r\n{part}", " ".repeat(257)),
        "--b\r\n\r\nx\r\n--b--".to_owned(),
        "--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--".to_owned(),
    ] {
        assert_eq!(code(body.as_bytes()), Code::MalformedForm, "{body}");
    }
}

#[test]
fn limits() {
    let preamble = |bytes: usize| [&vec![b'p'; bytes - 2][..], b"\r\n", &form(&[])].concat();
    // The CR LF belongs to the delimiter; the two imagined before the form count as none.
    assert!(parse(&preamble(MAX_PREAMBLE_BYTES + 2)).1.is_ok());
    assert_eq!(code(&preamble(MAX_PREAMBLE_BYTES + 3)), Code::MalformedForm);

    let many = |count: usize| form(&vec![("a", &b"x"[..]); count]);
    assert_eq!(parts(&many(MAX_PARTS)).len(), MAX_PARTS);
    let error = parse(&many(MAX_PARTS + 1)).1.expect_err("too many");
    assert_eq!(error.rule.as_deref(), Some("limits.maxFormParts"));

    let start = "--b\r\nContent-Disposition: form-data; name=a\r\nX: ";
    // Counted from the CR LF of the delimiter's line to before that of the empty line.
    let head = |bytes: usize| {
        let fill = "x".repeat(bytes - (start.len() - "--b".len()));
        format!("{start}{fill}\r\n\r\n\r\n--b--")
    };
    assert!(parse(head(MAX_HEADER_BLOCK_BYTES).as_bytes()).1.is_ok());
    let long = head(MAX_HEADER_BLOCK_BYTES + 1);
    for size in [1, 7, long.len()] {
        let boundary = Boundary::parse(CONTENT_TYPE).expect("a boundary");
        let error = parse_chunks(&boundary, long.as_bytes().chunks(size)).1.expect_err("too long");
        assert_eq!(error.rule.as_deref(), Some("limits.maxFormHeaderBytes"));
    }
}

#[test]
fn data_are_passed_on_in_as_few_pieces_as_there_are_chunks() {
    let data = vec![b'\r'; 1 << 20];
    let body = form(&[("a", &data)]);
    let mut parser = Parser::new(&Boundary::parse(CONTENT_TYPE).expect("a boundary"));
    let mut pieces = 0;
    for chunk in body.chunks(1 << 16) {
        let mut rest = chunk;
        while let Some(event) = parser.next(&mut rest).expect("valid") {
            pieces += usize::from(matches!(event, Event::Data(_)));
        }
    }
    // One a chunk, and the CR that may begin a delimiter.
    assert!(pieces <= 2 * 17, "{pieces}");
}

/// Bytes that are mostly pieces of forms.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"\r\n--b"[..],
        b"\r\n",
        b"--b",
        b"--",
        b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n",
        b"\r\n--b\r\nContent-Disposition: form-data; name=c; filename=d\r\n\r\n",
        b"\r\n--b--",
        b"\r",
        b"-",
        b"b",
        b"x",
        b" ",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        body in bodies(), sizes in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let boundary = Boundary::parse(CONTENT_TYPE).expect("a boundary");
        let (seen, end) = parse(&body);
        let mut rest = &body[..];
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
            if rest.is_empty() { break }
        }
        for chunks in [chunks, body.chunks(1).collect()] {
            let (split, split_end) = parse_chunks(&boundary, chunks);
            prop_assert_eq!(&seen, &split);
            prop_assert_eq!(
                end.as_ref().map_err(ToString::to_string),
                split_end.as_ref().map_err(ToString::to_string)
            );
        }
    }

    #[test]
    fn what_is_sent_comes_back(
        parts_sent in prop::collection::vec(("[a-z]{0,5}", prop::collection::vec(any::<u8>(), 0..200)), 0..8),
    ) {
        let sent: Vec<_> = parts_sent.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
        let is_apart = |bytes: &[u8]| !bytes.starts_with(b"--b") && memchr::memmem::find(bytes, b"\r\n--b").is_none();
        prop_assume!(sent.iter().all(|(_, bytes)| is_apart(bytes)));
        prop_assert_eq!(parts(&form(&sent)), parts_sent);
    }
}
