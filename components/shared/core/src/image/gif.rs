//! Spec: <https://www.w3.org/Graphics/GIF/spec-gif89a.txt>

use super::bytes::Bytes;
use super::{Failure, Fault};
use crate::error::Error;
use crate::ports::Body;

const EXTENSION: u8 = 0x21;
const PICTURE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

/// Block after block to the trailer; each picture has to lie within the screen, whose size is the answer.
pub(super) async fn walk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    bytes.skip(6).await?;
    let [a, b, c, d, flags, _, _] = bytes.take::<7>().await?;
    let (width, height) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    bytes.skip(table(flags)).await?;
    let mut pictures = false;
    loop {
        match bytes.byte().await? {
            TRAILER => {
                bytes.end()?;
                break;
            }
            EXTENSION => bytes.skip(1).await?,
            PICTURE => {
                let [a, b, c, d, e, f, g, h, flags] = bytes.take::<9>().await?;
                let [left, top, wide, high] =
                    [[a, b], [c, d], [e, f], [g, h]].map(|it| u32::from(u16::from_le_bytes(it)));
                if left + wide > width.into() || top + high > height.into() || wide * high == 0 {
                    return Err(Fault::Dimensions("a picture of the GIF is not within it").into());
                }
                bytes.skip(table(flags)).await?;
                if !(2..=11).contains(&bytes.byte().await?) {
                    return Err(Fault::Format("a picture of the GIF is none").into());
                }
                pictures = true;
            }
            _ => return Err(Fault::Format("a block of the GIF is none").into()),
        }
        // What follows is in pieces up to an empty one.
        loop {
            match bytes.byte().await? {
                0 => break,
                length => bytes.skip(length.into()).await?,
            }
        }
    }
    if !pictures {
        return Err(Fault::Format("the GIF has no picture").into());
    }
    Ok((width.into(), height.into()))
}

/// The bytes of a table of colours, if there is one.
fn table(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
