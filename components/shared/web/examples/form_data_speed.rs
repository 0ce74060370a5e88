//! How fast a form is parsed: `cargo run --release -p holdfast-web --example form_data_speed`.

use std::time::Instant;

use holdfast_core::error::Error;
use holdfast_web::form_data::{Boundary, Event, Parser};

/// A part, in bytes; more than any cache holds.
const PART_BYTES: usize = 256 << 20;

/// As the host hands a body on, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

fn main() -> Result<(), Error> {
    for (what, pattern) in [
        ("zeros", &b"\0"[..]),
        ("lines", b"a line of text of common length, as logs have it\r\n"),
        ("empty lines", b"\r\n"),
        ("begins of delimiters", b"\r\n--boundar"),
    ] {
        let part: Vec<u8> = pattern.iter().copied().cycle().take(PART_BYTES).collect();
        let head = b"--boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
        let body = [&head[..], &part, b"\r\n--boundary--\r\n"].concat();
        let started = Instant::now();
        let bytes = read(&body)?;
        let rate = bytes as f64 / started.elapsed().as_secs_f64() / 1e9;
        println!("{what}: {rate:.2} GB/s");
    }
    Ok(())
}

/// How many bytes all parts have.
fn read(body: &[u8]) -> Result<usize, Error> {
    let mut parser = Parser::new(&Boundary::parse("multipart/form-data; boundary=boundary")?);
    let mut bytes = 0;
    for mut chunk in body.chunks(CHUNK_BYTES) {
        while let Some(event) = parser.next(&mut chunk)? {
            if let Event::Data(data) = event {
                bytes += data.len();
            }
        }
    }
    parser.finish()?;
    Ok(bytes)
}
