//! Spec: <https://www.w3.org/TR/png-3/>

use super::bytes::Bytes;
use super::{Failure, Fault};
use crate::error::Error;
use crate::ports::Body;

/// The largest length.
const MAX: u32 = 0x7fff_ffff;

/// Chunk after chunk from IHDR to IEND. The checksum of IHDR is compared, as what decides on a decoder's memory.
pub(super) async fn walk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    bytes.skip(8).await?;
    let [a, b, c, d, name @ ..] = bytes.take::<8>().await?;
    if (u32::from_be_bytes([a, b, c, d]), &name) != (13, b"IHDR") {
        return Err(Fault::Format("a PNG begins with its header").into());
    }
    let header = bytes.take::<13>().await?;
    let sum = u32::from_be_bytes(bytes.take::<4>().await?);
    if crc32(&[&name, &header]) != sum {
        return Err(Fault::Format("the header of the PNG does not match its checksum").into());
    }
    let size = dimensions(&header)?;

    let mut has_pixels = false;
    loop {
        let [a, b, c, d, name @ ..] = bytes.take::<8>().await?;
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > MAX || !name.iter().all(u8::is_ascii_alphabetic) {
            return Err(Fault::Format("a chunk of the PNG is none").into());
        }
        match &name {
            b"IHDR" => return Err(Fault::Format("the PNG has two headers").into()),
            b"IEND" => {
                if length != 0 {
                    return Err(Fault::Format("the end of the PNG is not empty").into());
                }
                bytes.skip(4).await?;
                bytes.end()?;
                break;
            }
            b"IDAT" => has_pixels |= length > 0,
            _ => {}
        }
        bytes.skip(u64::from(length) + 4).await?;
    }
    if !has_pixels {
        return Err(Fault::Format("the PNG has no pixels").into());
    }
    Ok(size)
}

/// Width and height. What else IHDR says has to be allowed together.
fn dimensions(header: &[u8; 13]) -> Result<(u32, u32), Fault> {
    let [a, b, c, d, e, f, g, h, depth, colour, compression, filter, interlace] = *header;
    let (width, height) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    let depths: &[u8] = match colour {
        0 => &[1, 2, 4, 8, 16],
        3 => &[1, 2, 4, 8],
        2 | 4 | 6 => &[8, 16],
        _ => &[],
    };
    if !depths.contains(&depth) || (compression, filter) != (0, 0) || interlace > 1 {
        return Err(Fault::Format("the header of the PNG says what no PNG is"));
    }
    Ok((width, height))
}

/// CRC-32 (ISO-HDLC) of a few bytes.
pub(super) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
