//! Spec: ITU-T T.81, annex B.

use super::bytes::Bytes;
use super::{Failure, Fault};
use crate::error::Error;
use crate::ports::Body;

const EOI: u8 = 0xd9;
const SOI: u8 = 0xd8;
const SOS: u8 = 0xda;

const NONE: Fault = Fault::Format("a segment of the JPEG is none");

/// Segment after segment, and the coded data behind each scan's header, to the end of the image.
pub(super) async fn walk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    bytes.skip(2).await?;
    let mut size = None;
    let mut scans = false;
    if bytes.byte().await? != 0xff {
        return Err(NONE.into());
    }
    let mut marker = name(bytes).await?;
    loop {
        match marker {
            EOI => break,
            // Frames in all the ways that are not parts of another frame.
            0xc0..=0xc3 | 0xc9..=0xcb => {
                if size.replace(frame(bytes).await?).is_some() {
                    return Err(Fault::Dimensions("the JPEG has two frames").into());
                }
            }
            SOI | 0x00..=0xbf | 0xc5..=0xc7 | 0xc8 | 0xcd..=0xcf | 0xd0..=0xd7 => {
                return Err(NONE.into());
            }
            SOS => {
                if size.is_none() {
                    return Err(NONE.into());
                }
                segment(bytes).await?;
                scans = true;
                marker = coded(bytes).await?;
                continue;
            }
            _ => segment(bytes).await?,
        }
        if bytes.byte().await? != 0xff {
            return Err(NONE.into());
        }
        marker = name(bytes).await?;
    }
    bytes.end()?;
    match size {
        Some(size) if scans => Ok(size),
        _ => Err(Fault::Format("the JPEG has no picture").into()),
    }
}

/// The name of a marker, behind a byte of ones and any more of them.
async fn name<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<u8, Failure> {
    loop {
        match bytes.byte().await? {
            0xff => {}
            name => return Ok(name),
        }
    }
}

/// The length of a segment, of which it is a part itself.
async fn length<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<u16, Failure> {
    let length = u16::from_be_bytes(bytes.take().await?);
    Ok(length.checked_sub(2).ok_or(NONE)?)
}

async fn segment<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(), Failure> {
    let length = length(bytes).await?;
    bytes.skip(length.into()).await
}

async fn frame<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    let length = length(bytes).await?;
    let [_, a, b, c, d, components] = bytes.take::<6>().await?;
    if !(1..=4).contains(&components) || length != 6 + 3 * u16::from(components) {
        return Err(Fault::Format("the frame of the JPEG is none").into());
    }
    bytes.skip(3 * u64::from(components)).await?;
    let (height, width) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ok((width.into(), height.into()))
}

/// Passes over coded data; the marker behind it. Within it a byte of ones is followed by a zero or a restart.
async fn coded<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<u8, Failure> {
    loop {
        let ahead = bytes.ahead().await?;
        let count = ahead.iter().position(|byte| *byte == 0xff).unwrap_or(ahead.len());
        let found = count < ahead.len();
        bytes.consume(count);
        if !found {
            continue;
        }
        match name(bytes).await? {
            0x00 | 0xd0..=0xd7 => {}
            marker => return Ok(marker),
        }
    }
}
