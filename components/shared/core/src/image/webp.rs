//! Spec: <https://developers.google.com/speed/webp/docs/riff_container>, RFC 9649.

use super::bytes::Bytes;
use super::{Failure, Fault};
use crate::error::Error;
use crate::ports::Body;

const NONE: Fault = Fault::Format("a chunk of the WebP is none");
const OTHER: Fault = Fault::Dimensions("the WebP says two things of its size");

/// Chunk after chunk to the end that RIFF names, which is that of the file. Each picture has the size of the canvas,
/// or, of an animation, that of its frame, which lies within it.
pub(super) async fn walk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    bytes.skip(4).await?;
    let end = 8 + u64::from(u32::from_le_bytes(bytes.take().await?));
    if end > bytes.size() {
        return Err(Fault::Truncated.into());
    }
    if end < bytes.size() {
        return Err(Fault::Trailing.into());
    }
    bytes.skip(4).await?;

    let first = chunk(bytes).await?;
    if &first.name != b"VP8X" {
        let size = picture(bytes, &first).await?.ok_or(NONE)?;
        bytes.end()?;
        return Ok(size);
    }
    if first.length != 10 {
        return Err(NONE.into());
    }
    let [flags, _, _, _, a, b, c, d, e, f] = bytes.take::<10>().await?;
    let canvas = (1 + u24([a, b, c]), 1 + u24([d, e, f]));
    let animated = flags & 2 != 0;
    let mut pictures = false;
    while bytes.left() > 0 {
        let next = chunk(bytes).await?;
        match &next.name {
            b"VP8X" => return Err(NONE.into()),
            b"ANMF" if animated => {
                frame(bytes, &next, canvas).await?;
                pictures = true;
            }
            b"VP8 " | b"VP8L" if !animated && !pictures => {
                if picture(bytes, &next).await? != Some(canvas) {
                    return Err(OTHER.into());
                }
                pictures = true;
            }
            b"VP8 " | b"VP8L" | b"ANMF" => return Err(NONE.into()),
            _ => bytes.skip(next.padded()).await?,
        }
    }
    if !pictures {
        return Err(Fault::Format("the WebP has no picture").into());
    }
    Ok(canvas)
}

struct Chunk {
    name: [u8; 4],
    length: u32,
}

impl Chunk {
    /// An odd one has a byte more.
    fn padded(&self) -> u64 {
        u64::from(self.length).next_multiple_of(2)
    }
}

async fn chunk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<Chunk, Failure> {
    let name = bytes.take().await?;
    let length = u32::from_le_bytes(bytes.take().await?);
    Ok(Chunk { name, length })
}

/// The size of a picture, which is passed over; none where the chunk is no picture.
async fn picture<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
    chunk: &Chunk,
) -> Result<Option<(u32, u32)>, Failure> {
    let (size, read) = match &chunk.name {
        b"VP8 " if chunk.length >= 10 => {
            let [tag, _, _, s0, s1, s2, a, b, c, d] = bytes.take::<10>().await?;
            if tag & 1 != 0 || [s0, s1, s2] != [0x9d, 0x01, 0x2a] {
                return Err(NONE.into());
            }
            // The two highest bits say how it is to be scaled.
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            ((side(a, b), side(c, d)), 10)
        }
        b"VP8L" if chunk.length >= 5 => {
            let [signature, a, b, c, d] = bytes.take::<5>().await?;
            let bits = u32::from_le_bytes([a, b, c, d]);
            if signature != 0x2f || bits >> 29 != 0 {
                return Err(NONE.into());
            }
            ((1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)), 5)
        }
        _ => return Ok(None),
    };
    bytes.skip(chunk.padded() - read).await?;
    Ok(Some(size))
}

/// A frame of an animation: where it lies, then chunks of its own, one of them its picture.
async fn frame<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
    frame: &Chunk,
    canvas: (u32, u32),
) -> Result<(), Failure> {
    let end = bytes.position() + frame.padded();
    if frame.length < 16 || end > bytes.size() {
        return Err(if frame.length < 16 { NONE } else { Fault::Truncated }.into());
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, _, _, _, _] = bytes.take::<16>().await?;
    let (left, top) = (2 * u24([a, b, c]), 2 * u24([d, e, f]));
    let size = (1 + u24([g, h, i]), 1 + u24([j, k, l]));
    if left + size.0 > canvas.0 || top + size.1 > canvas.1 {
        return Err(Fault::Dimensions("a frame of the WebP is not within it").into());
    }
    let mut pictures = false;
    while bytes.position() < end {
        let next = chunk(bytes).await?;
        if bytes.position() + next.padded() > end {
            return Err(NONE.into());
        }
        match picture(bytes, &next).await? {
            Some(found) if found != size => return Err(OTHER.into()),
            Some(_) if pictures => return Err(NONE.into()),
            Some(_) => pictures = true,
            None if matches!(&next.name, b"VP8 " | b"VP8L") => return Err(NONE.into()),
            None => bytes.skip(next.padded()).await?,
        }
    }
    if !pictures || bytes.position() != end {
        return Err(NONE.into());
    }
    Ok(())
}

fn u24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}
