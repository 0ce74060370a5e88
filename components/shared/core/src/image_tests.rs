//! Images of real encoders (tests/images, 48 x 32 pixels each), and what was made of them.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

macro_rules! images {
    ($($format:ident $name:literal),* $(,)?) => {
        [$((Format::$format, $name, include_bytes!(concat!("../../../../tests/images/", $name)).as_slice())),*]
    };
}

const IMAGES: [(Format, &str, &[u8]); 17] = images![
    Png "rgb.png", Png "palette.png", Png "animated.png",
    Jpeg "baseline.jpg", Jpeg "progressive.jpg", Jpeg "grey.jpg", Jpeg "restarts.jpg",
    Gif "plain.gif", Gif "animated.gif",
    WebP "lossy.webp", WebP "lossless.webp", WebP "alpha.webp", WebP "animated.webp", WebP "exif.webp",
    Avif "plain.avif", Avif "alpha.avif", Avif "animated.avif",
];

fn named(name: &str) -> Vec<u8> {
    IMAGES.iter().find(|it| it.1 == name).expect("an image").2.to_vec()
}

/// The rest of a file in pieces.
struct Pieces<'a>(&'a [u8], usize);

impl Body for Pieces<'_> {
    async fn read_into(&mut self, _: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let (piece, rest) = self.0.split_at(self.0.len().min(self.1));
        self.0 = rest;
        Ok((!piece.is_empty()).then(|| piece.to_vec()))
    }
}

/// Walks a file of which `head` bytes are at hand and the rest comes in pieces; how often it was opened, too.
fn walk(file: &[u8], head: usize, piece: usize) -> (Result<Image, Error>, usize) {
    let opened = Cell::new(0);
    let open = async |offset: u64| {
        opened.set(opened.get() + 1);
        Ok(Pieces(&file[usize::try_from(offset).expect("short")..], piece))
    };
    let head = file[..file.len().min(head)].to_vec();
    let walk = pin!(inspect(file.len() as u64, head, open));
    let Poll::Ready(found) = walk.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for nothing")
    };
    (found, opened.get())
}

fn whole(file: &[u8]) -> Result<Image, Error> {
    walk(file, file.len(), 1).0
}

/// The rule that refuses a file.
fn rule(file: &[u8]) -> String {
    let error = whole(file).expect_err("refused");
    let code = if error.rule.as_deref() == Some("image.format") {
        Code::InvalidContentType
    } else {
        Code::InvalidImage
    };
    assert_eq!(error.code, code);
    error.rule.expect("a rule")
}

#[test]
fn images_of_real_encoders_are_known() {
    for (format, name, file) in IMAGES {
        let image = Image { format, width: 48, height: 32 };
        for (head, piece) in [(file.len(), 1), (16, 1), (16, 7), (64, 4_096)] {
            let (found, opened) = walk(file, head, piece);
            assert_eq!(found.expect(name), image, "{name} {head} {piece}");
            assert_eq!(opened, usize::from(head < file.len()), "{name}");
        }
    }
}

#[test]
fn an_image_that_is_cut_anywhere_is_none() {
    for (_, name, file) in IMAGES {
        for length in 0..file.len() {
            let rule = rule(&file[..length]);
            // Of a box that is cut in its head nobody knows whether it was one.
            let fine = ["image.truncated", "image.format", "image.trailing"];
            assert!(fine.contains(&rule.as_str()), "{name} {length} {rule}");
            if length > 16 && !name.ends_with(".avif") {
                assert_eq!(rule, "image.truncated", "{name} {length}");
            }
        }
    }
}

#[test]
fn nothing_may_be_behind_an_image() {
    let zip = [&b"PK\x03\x04\x14\x00\x00\x00"[..], &[0; 22]].concat();
    for (_, name, file) in IMAGES {
        for behind in [&zip[..], b"<html><script>", b"\0", b"\n", file] {
            let found = rule(&[file, behind].concat());
            // A second AVIF begins as a box that there may not be two of.
            assert_eq!(found, "image.trailing", "{name} {behind:?}");
        }
        // Nor the end of another one, as if that were its own.
        let twice = [file, &zip[..], &file[file.len() - 12..]].concat();
        assert_eq!(rule(&twice), "image.trailing", "{name}");
    }
}

#[test]
fn what_is_no_image_is_told_so() {
    for file in [
        &b""[..],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"RIFF\x04\0\0\0WAVE",
        b"\0\0\0\x14ftypisom\0\0\0\0mp42",
        b"BM0000",
    ] {
        assert_eq!(rule(file), "image.format", "{file:?}");
    }
}

/// The file with `bytes` at `at`.
fn with(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = named(name);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn find(file: &[u8], what: &[u8]) -> usize {
    file.windows(what.len()).position(|it| it == what).expect("it is there")
}

#[test]
fn a_png_whose_header_lies_is_none() {
    // Larger, but the checksum is that of the old header.
    assert_eq!(rule(&with("rgb.png", 16, &[0, 0, 0x40, 0])), "image.format");
    // Another chunk in front of the header, and a header that is no header.
    assert_eq!(rule(&with("rgb.png", 12, b"tEXt")), "image.format");
    assert_eq!(rule(&with("rgb.png", 24, &[3])), "image.format");
    // A second header behind the first.
    let png = named("rgb.png");
    let twice = [&png[..33], &png[8..]].concat();
    assert_eq!(rule(&twice), "image.format");
    // No pixels at all.
    let empty = [&png[..33], &png[png.len() - 12..]].concat();
    assert_eq!(rule(&empty), "image.format");
    // Without width, but with a good checksum.
    let mut header = png[12..29].to_vec();
    header[4..8].fill(0);
    let sum = png::crc32(&[&header]).to_be_bytes();
    let file = [&png[..12], &header[..], &sum, &png[33..]].concat();
    assert_eq!(rule(&file), "image.dimensions");
}

#[test]
fn a_gif_whose_picture_is_larger_than_its_screen_is_none() {
    assert_eq!(rule(&with("plain.gif", 6, &[1, 0, 1, 0])), "image.dimensions");
    assert_eq!(rule(&with("plain.gif", 6, &[0, 0, 0, 0])), "image.dimensions");
    assert_eq!(rule(b"GIF89a\x01\0\x01\0\0\0\0;"), "image.format");
}

#[test]
fn a_webp_that_says_two_things_of_its_size_is_none() {
    for name in ["alpha.webp", "exif.webp", "animated.webp"] {
        // The canvas, in VP8X.
        assert_eq!(rule(&with(name, 24, &[1, 0, 0])), "image.dimensions", "{name}");
        // The frames of an animation need not fill it.
        let large = whole(&with(name, 24, &[0xff, 0x3f, 0]));
        assert_eq!(large.is_ok(), name == "animated.webp", "{name}");
    }
    // A picture within a frame.
    let at = find(&named("animated.webp"), b"VP8 ") + 14;
    assert_eq!(rule(&with("animated.webp", at, &[0xff, 0x3f])), "image.dimensions");
    // What RIFF says of the length.
    assert_eq!(rule(&with("lossy.webp", 4, &[8, 0, 0, 0])), "image.trailing");
    assert_eq!(rule(&with("lossy.webp", 7, &[1])), "image.truncated");
}

#[test]
fn a_jpeg_with_two_frames_or_none_is_none() {
    let jpeg = named("baseline.jpg");
    let at = find(&jpeg, &[0xff, 0xc0]);
    let frame = &jpeg[at..at + 19];
    let twice = [&jpeg[..at], frame, &jpeg[at..]].concat();
    assert_eq!(rule(&twice), "image.dimensions");
    let none = [&jpeg[..at], &jpeg[at + 19..]].concat();
    assert_eq!(rule(&none), "image.format");
    assert_eq!(rule(&with("baseline.jpg", at + 5, &[0, 0])), "image.dimensions");
    assert_eq!(rule(&[0xff, 0xd8, 0xff, 0xd9]), "image.format");
    // An image within an image, as a camera's preview, is no second one.
    let preview = [&[0xff, 0xd8, 0xff, 0xe1, 0x01, 0x02][..], &[0xff; 256], &jpeg[2..]].concat();
    assert_eq!(whole(&preview).expect("an image").width, 48);
}

#[test]
fn an_avif_whose_boxes_lie_is_none() {
    let avif = named("plain.avif");
    let size = find(&avif, b"ispe");
    assert_eq!(rule(&with("plain.avif", size + 8, &[0; 4])), "image.dimensions");
    assert_eq!(rule(&with("plain.avif", size, b"ispx")), "image.dimensions");
    // An end that is where the file ends, whatever is there.
    let data = find(&avif, b"mdat");
    assert_eq!(rule(&with("plain.avif", data - 4, &[0; 4])), "image.format");
    // The picture lies behind the end of the file.
    let places = find(&avif, b"iloc");
    let end = places + 8;
    let moved = with("plain.avif", end + 10, &[0x7f]);
    assert!(["image.truncated", "image.format"].contains(&rule(&moved).as_str()));
    // Boxes that are counted and not there, and those that take no bytes.
    assert_eq!(rule(&with("plain.avif", places + 8, &[0, 0, 0xff, 0xff])), "image.format");
    let meta = find(&avif, b"meta");
    assert_eq!(rule(&with("plain.avif", meta - 4, &[0x7f])), "image.truncated");
}

#[test]
fn long_stretches_are_not_read() {
    // A private chunk of 3 MiB in front of the pixels.
    let png = named("rgb.png");
    let length = 3 * 1_024 * 1_024_u32;
    let chunk = [&length.to_be_bytes()[..], b"prVt", &vec![7; length as usize + 4]].concat();
    let file = [&png[..33], &chunk, &png[33..]].concat();
    let (found, opened) = walk(&file, 64, 4_096);
    assert_eq!((found.expect("an image").width, opened), (48, 1));
    let (found, opened) = walk(&file, 20, 4_096);
    assert_eq!((found.expect("an image").width, opened), (48, 2));
}

#[test]
fn limits_hold_at_both_ends() {
    let limits = ImageLimits {
        min_width: 10,
        min_height: 20,
        max_width: 100,
        max_height: 200,
        max_pixels: 10_000,
    };
    let of = |width, height| limits.check(&Image { format: Format::Png, width, height });
    for (width, height) in [(10, 20), (100, 100), (50, 200)] {
        of(width, height).expect("within");
    }
    for (width, height) in [(9, 20), (10, 19), (101, 20), (10, 201), (100, 101)] {
        let error = of(width, height).expect_err("outside");
        assert_eq!((error.code, error.rule.as_deref()), (Code::InvalidImage, Some("policy.image")));
    }
    let huge = ImageLimits { max_width: u32::MAX, max_height: u32::MAX, ..limits };
    let all = Image { format: Format::Png, width: u32::MAX, height: u32::MAX };
    assert!(huge.check(&all).is_err());
}

#[test]
fn a_file_that_is_too_long_is_not_opened() {
    let open = async |_| -> Result<Pieces<'static>, Error> { panic!("opened") };
    let walk = pin!(inspect(MAX_IMAGE_BYTES + 1, named("rgb.png"), open));
    let Poll::Ready(Err(error)) = walk.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("not refused")
    };
    assert_eq!(error.code, Code::EntityTooLarge);
}

proptest! {
    #[test]
    fn any_change_is_an_image_or_refused(
        index in 0..IMAGES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        piece in 1_usize..64,
    ) {
        let mut file = IMAGES[index].2.to_vec();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (in_pieces, _) = walk(&file, 16, piece);
        match (whole(&file), in_pieces) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => prop_assert_eq!((one.code, one.rule), (other.code, other.rule)),
            (one, other) => prop_assert!(false, "{one:?} {other:?}"),
        }
    }
}
