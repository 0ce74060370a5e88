//! Spec: ISO/IEC 14496-12 and 23008-12, <https://aomediacodec.github.io/av1-avif/>

use super::bytes::Bytes;
use super::{Failure, Fault};
use crate::error::Error;
use crate::limits::MAX_IMAGE_META_BYTES;
use crate::ports::Body;

/// The most properties of an item: each is looked for in a list that the file makes as long as it likes.
const MAX_PROPERTIES: usize = 64;

const NONE: Fault = Fault::Format("a box of the AVIF is none");

/// Box after box to the end of the file; in `meta`, which is held, what the primary item is and where it lies.
pub(super) async fn walk<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
) -> Result<(u32, u32), Failure> {
    let brands = BoxHead::read(bytes).await?;
    if brands.length > MAX_IMAGE_META_BYTES as u64 {
        return Err(NONE.into());
    }
    let brands = held(bytes, brands.length).await?;
    // The major brand, its version, and those that it is compatible with.
    let named = |at: usize, brand: &[u8]| at != 1 && matches!(brand, b"avif" | b"avis");
    if !brands.chunks_exact(4).enumerate().any(|(at, brand)| named(at, brand)) {
        return Err(Fault::Format("it is neither PNG, JPEG, WebP, GIF nor AVIF").into());
    }

    let mut size = None;
    while bytes.left() > 0 {
        let next = BoxHead::read(bytes).await?;
        match &next.name {
            b"meta" if size.is_some() => return Err(NONE.into()),
            b"meta" => {
                if next.length > MAX_IMAGE_META_BYTES as u64 {
                    return Err(Fault::Format("the AVIF has too much metadata").into());
                }
                let meta = held(bytes, next.length).await?;
                size = Some(primary(&meta, bytes.size())?);
            }
            b"mdat" | b"moov" | b"free" | b"skip" | b"uuid" => bytes.skip(next.length).await?,
            // Something else that begins as a box does.
            _ => return Err(Fault::Trailing.into()),
        }
    }
    Ok(size.ok_or(Fault::Format("the AVIF has no picture"))?)
}

/// The head of a box in the file, and how long its content is. One without a length would end where the file does,
/// whatever is there.
struct BoxHead {
    name: [u8; 4],
    length: u64,
}

impl BoxHead {
    async fn read<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
        bytes: &mut Bytes<B, O>,
    ) -> Result<Self, Failure> {
        if bytes.left() < 8 {
            return Err(Fault::Trailing.into());
        }
        let [a, b, c, d, name @ ..] = bytes.take::<8>().await?;
        let (length, head) = match u32::from_be_bytes([a, b, c, d]) {
            1 => (u64::from_be_bytes(bytes.take().await?), 16),
            length => (length.into(), 8),
        };
        let length = length.checked_sub(head).ok_or(NONE)?;
        if length > bytes.left() {
            // Letters name a box; anything else is something behind the last one.
            let named = name.iter().all(u8::is_ascii_alphanumeric);
            return Err(if named { Fault::Truncated } else { Fault::Trailing }.into());
        }
        Ok(Self { name, length })
    }
}

async fn held<B: Body, O: AsyncFn(u64) -> Result<B, Error>>(
    bytes: &mut Bytes<B, O>,
    length: u64,
) -> Result<Vec<u8>, Failure> {
    let mut content = vec![0; usize::try_from(length).map_err(|_| NONE)?];
    bytes.fill(&mut content).await?;
    Ok(content)
}

/// The size of the primary item, whose bytes have to lie in a file of `file` bytes.
fn primary(meta: &[u8], file: u64) -> Result<(u32, u32), Fault> {
    let mut meta = Content(meta);
    meta.version()?;
    let (mut item, mut places, mut properties) = (None, None, None);
    while let Some((name, content)) = meta.next_box()? {
        let known = match &name {
            b"pitm" => &mut item,
            b"iloc" => &mut places,
            b"iprp" => &mut properties,
            _ => continue,
        };
        if known.replace(content).is_some() {
            return Err(NONE);
        }
    }
    let mut item = item.ok_or(NONE)?;
    let id = match item.version()? {
        0 => item.number(2)?,
        _ => item.number(4)?,
    };
    within(places.ok_or(NONE)?, id, file)?;

    let mut properties = properties.ok_or(NONE)?;
    let (mut all, mut indexes) = (None, Vec::new());
    while let Some((name, content)) = properties.next_box()? {
        match &name {
            b"ipco" => all = Some(content),
            b"ipma" => of_item(content, id, &mut indexes)?,
            _ => {}
        }
    }
    let mut size = None;
    for index in indexes {
        if let Some(found) = extent(all.ok_or(NONE)?, index)?
            && size.replace(found).is_some()
        {
            return Err(Fault::Dimensions("the AVIF says two things of its size"));
        }
    }
    size.ok_or(Fault::Dimensions("the AVIF does not say its size"))
}

/// Whether the bytes of an item lie in the file.
fn within(mut places: Content<'_>, id: u64, file: u64) -> Result<(), Fault> {
    let version = places.version()?;
    let (sizes, more) = (places.number(1)?, places.number(1)?);
    let width = |bits: u64| match bits & 15 {
        bits @ (0 | 4 | 8) => Ok(usize::try_from(bits).unwrap_or_default()),
        _ => Err(NONE),
    };
    let (offset, length, base) = (width(sizes >> 4)?, width(sizes)?, width(more >> 4)?);
    let index = if version == 0 { 0 } else { width(more)? };
    let wide = if version < 2 { 2 } else { 4 };
    let mut found = false;
    for _ in 0..places.number(wide)? {
        let item = places.number(wide)?;
        // In the file, in `idat`, or in other items.
        let method = if version == 0 { 0 } else { places.number(2)? & 15 };
        let source = places.number(2)?;
        let base = places.number(base)?;
        let extents = places.number(2)?;
        if extents > 1 && index + offset + length == 0 {
            // They would take no bytes, and for ever.
            return Err(NONE);
        }
        for _ in 0..extents {
            places.number(index)?;
            let (at, length) = (places.number(offset)?, places.number(length)?);
            let end = base.checked_add(at).and_then(|at| at.checked_add(length));
            if (method, source) == (0, 0) && end.is_none_or(|end| end > file) {
                return Err(Fault::Truncated);
            }
        }
        found |= item == id && source == 0;
    }
    if found { Ok(()) } else { Err(Fault::Format("the AVIF has no picture")) }
}

/// Adds the places in `ipco` of what an item has, from 1.
fn of_item(mut content: Content<'_>, id: u64, found: &mut Vec<u64>) -> Result<(), Fault> {
    let word = content.number(4)?;
    let (version, flags) = (word >> 24, word & 1);
    for _ in 0..content.number(4)? {
        let item = content.number(if version == 0 { 2 } else { 4 })?;
        for _ in 0..content.number(1)? {
            // The highest bit says whether a reader has to know it.
            let index = match flags {
                0 => content.number(1)? & 0x7f,
                _ => content.number(2)? & 0x7fff,
            };
            if item == id {
                found.push(index);
            }
            if found.len() > MAX_PROPERTIES {
                return Err(NONE);
            }
        }
    }
    Ok(())
}

/// What the property at this place says of the size, if it is that one.
fn extent(mut all: Content<'_>, index: u64) -> Result<Option<(u32, u32)>, Fault> {
    let mut at = 0;
    while let Some((name, mut content)) = all.next_box()? {
        at += 1;
        if at != index {
            continue;
        }
        if &name != b"ispe" {
            return Ok(None);
        }
        content.version()?;
        let side = |number| u32::try_from(number).map_err(|_| NONE);
        return Ok(Some((side(content.number(4)?)?, side(content.number(4)?)?)));
    }
    Ok(None)
}

/// What is left of the content of a box that is held.
#[derive(Clone, Copy)]
struct Content<'a>(&'a [u8]);

impl<'a> Content<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NONE)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of up to eight bytes; zero of none.
    fn number(&mut self, bytes: usize) -> Result<u64, Fault> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The version of a full box, whose flags are passed over.
    fn version(&mut self) -> Result<u64, Fault> {
        Ok(self.number(4)? >> 24)
    }

    /// The next box, or none at the end.
    fn next_box(&mut self) -> Result<Option<([u8; 4], Self)>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let length = usize::try_from(self.number(4)?).map_err(|_| NONE)?;
        let name = self.take(4)?.try_into().map_err(|_| NONE)?;
        let content = self.take(length.checked_sub(8).ok_or(NONE)?)?;
        Ok(Some((name, Self(content))))
    }
}
