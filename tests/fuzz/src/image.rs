//! Images, walked from their first byte to their last.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use holdfast_core::error::{Code, Error};
use holdfast_core::image::{Format, Image, inspect};
use holdfast_core::ports::Body;

/// The first byte says how the rest comes: how much of it is at hand, and in which pieces.
pub fn check(data: &[u8]) {
    let Some((how, file)) = data.split_first() else { return };
    let (head, piece) = (usize::from(how >> 4) * 16, usize::from(how & 15) + 1);
    let found = walk(file, file.len(), file.len().max(1));
    let in_pieces = walk(file, head.max(16), piece);
    let kind = |result: &Result<Image, Error>| match result {
        Ok(image) => Ok(*image),
        Err(error) => Err((error.code, error.rule.clone())),
    };
    assert_eq!(kind(&found), kind(&in_pieces), "the pieces make another image");
    let Ok(image) = found else {
        let error = found.expect_err("refused");
        assert!(matches!(error.code, Code::InvalidContentType | Code::InvalidImage), "{error}");
        assert!(error.rule.is_some_and(|rule| rule.starts_with("image.")));
        return;
    };
    assert!(image.width > 0 && image.height > 0);
    assert!(
        magic(image.format)
            .iter()
            .any(|magic| file.starts_with(magic) || file[4..].starts_with(magic))
    );

    // Neither less nor more is an image: what ends one is its end.
    assert!(walk(&file[..file.len() - 1], file.len(), 1).is_err(), "cut");
    for more in [&b"\0"[..], b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"<html>"] {
        let longer = [file, more].concat();
        let error = walk(&longer, longer.len(), 1).expect_err("longer");
        let rule = error.rule.unwrap_or_default();
        assert!(matches!(rule.as_str(), "image.trailing" | "image.truncated"), "{rule}");
    }
}

fn magic(format: Format) -> &'static [&'static [u8]] {
    match format {
        Format::Png => &[b"\x89PNG\r\n\x1a\n"],
        Format::Jpeg => &[b"\xff\xd8\xff"],
        Format::WebP => &[b"RIFF"],
        Format::Gif => &[b"GIF87a", b"GIF89a"],
        Format::Avif => &[b"ftyp"],
    }
}

struct Pieces<'a>(&'a [u8], usize);

impl Body for Pieces<'_> {
    async fn read_into(&mut self, _: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let (piece, rest) = self.0.split_at(self.0.len().min(self.1));
        self.0 = rest;
        Ok((!piece.is_empty()).then(|| piece.to_vec()))
    }
}

fn walk(file: &[u8], head: usize, piece: usize) -> Result<Image, Error> {
    let opened = Cell::new(0);
    let open = async |offset: u64| {
        opened.set(opened.get() + 1);
        let offset = usize::try_from(offset).expect("within the file");
        assert!(offset < file.len(), "it reads behind the end");
        Ok(Pieces(&file[offset..], piece))
    };
    let head = file[..file.len().min(head)].to_vec();
    let walk = pin!(inspect(file.len() as u64, head, open));
    let Poll::Ready(found) = walk.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for nothing")
    };
    assert!(opened.get() <= 1 + file.len() / (1_024 * 1_024), "opened {} times", opened.get());
    found
}
