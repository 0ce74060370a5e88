//! Spec: ISO/IEC 14496-12 and 23008-12, <https://aomediacodec.github.io/av1-avif/>

use super::bytes::Bytes;
use std::collections::VecDeque;

use super::{Failure, Fault};
use crate::error::Error;
use crate::limits::MAX_IMAGE_META_BYTES;
use crate::ports::Body;

/// The most pictures of a file: itself, its transparency, a preview, and what may go with them.
const MAX_PICTURES: usize = 16;

/// As much of a stream as its sequence header may take, in bytes: 32 operating points have seven each at the most.
const SEQUENCE_BYTES: u64 = 512;

/// The most properties of an item: each is looked for in a list that the file makes as long as it likes.
const MAX_PROPERTIES: usize = 64;

const OTHER: Fault = Fault::Dimensions("the AVIF says two things of its size");
const NONE: Fault = Fault::Format("a box of the AVIF is none");

/// Box after box to the end of the file; in `meta`, which is held, what the primary item is and where it lies. Each
/// picture has to have the size in its AV1 stream that its item says: a decoder goes by the stream.
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
    let mut pictures = VecDeque::new();
    while bytes.left() > 0 {
        let next = BoxHead::read(bytes).await?;
        match &next.name {
            b"meta" if size.is_some() => return Err(NONE.into()),
            b"meta" => {
                if next.length > MAX_IMAGE_META_BYTES as u64 {
                    return Err(Fault::Format("the AVIF has too much metadata").into());
                }
                let meta = held(bytes, next.length).await?;
                let (found, streams) = primary(&meta, bytes.size())?;
                (size, pictures) = (Some(found), streams.into());
            }
            b"mdat" => {
                let end = bytes.position() + next.length;
                while let Some(picture) = pictures.pop_front_if(|it: &mut Picture| it.at < end) {
                    // Not behind us: pictures before their metadata are what no encoder writes.
                    let gap = picture.at.checked_sub(bytes.position()).ok_or(NONE)?;
                    bytes.skip(gap).await?;
                    let length = (end - picture.at).min(picture.length).min(SEQUENCE_BYTES);
                    picture.check(&held(bytes, length).await?)?;
                }
                bytes.skip(end - bytes.position()).await?;
            }
            b"moov" | b"free" | b"skip" | b"uuid" => bytes.skip(next.length).await?,
            // Something else that begins as a box does.
            _ => return Err(Fault::Trailing.into()),
        }
    }
    if !pictures.is_empty() {
        return Err(NONE.into());
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

/// The size of the primary item, and the pictures whose streams have to say the same, by where they lie in a file of
/// `file` bytes.
fn primary(meta: &[u8], file: u64) -> Result<((u32, u32), Vec<Picture>), Fault> {
    let mut meta = Content(meta);
    meta.version()?;
    let (mut item, mut infos, mut places, mut properties) = (None, None, None, None);
    while let Some((name, content)) = meta.next_box()? {
        let known = match &name {
            b"pitm" => &mut item,
            b"iinf" => &mut infos,
            b"iloc" => &mut places,
            b"iprp" => &mut properties,
            _ => continue,
        };
        if known.replace(content).is_some() {
            return Err(NONE);
        }
    }
    let mut item = item.ok_or(NONE)?;
    let primary = match item.version()? {
        0 => item.number(2)?,
        _ => item.number(4)?,
    };
    let coded = coded_items(infos.ok_or(NONE)?)?;
    if !coded.contains(&primary) {
        // Tiles and overlays, whose memory nothing here says.
        return Err(Fault::Format("the AVIF is put together of several pictures; save it as one"));
    }
    let starts = places_of(places.ok_or(NONE)?, &coded, file)?;
    let properties = properties.ok_or(NONE)?;
    let size = size_of(properties, primary)?;
    let mut pictures = Vec::with_capacity(coded.len());
    for item in coded {
        let own = size_of(properties, item)?;
        // What goes with the picture (its transparency, a preview) is no larger.
        if own.0 > size.0 || own.1 > size.1 {
            return Err(Fault::Dimensions("the AVIF has a picture larger than itself"));
        }
        let Start { at, length, .. } = *starts.iter().find(|it| it.item == item).ok_or(NONE)?;
        pictures.push(Picture { at, length, size: own });
    }
    pictures.sort_by_key(|picture| picture.at);
    Ok((size, pictures))
}

/// The items that are AV1 themselves.
fn coded_items(mut infos: Content<'_>) -> Result<Vec<u64>, Fault> {
    let wide = if infos.version()? == 0 { 2 } else { 4 };
    infos.number(wide)?;
    let mut coded = Vec::new();
    while let Some((name, mut info)) = infos.next_box()? {
        let wide = match (&name, info.version()?) {
            (b"infe", 2) => 2,
            (b"infe", 3) => 4,
            _ => return Err(NONE),
        };
        let item = info.number(wide)?;
        info.number(2)?;
        if info.take(4)? == b"av01" {
            coded.push(item);
        }
        if coded.len() > MAX_PICTURES {
            return Err(Fault::Format("the AVIF has too many pictures"));
        }
    }
    Ok(coded)
}

/// Where an item begins, and how much of it lies there.
struct Start {
    item: u64,
    at: u64,
    length: u64,
}

/// Where the first bytes of these items lie, and how many; all of every item have to lie in the file.
fn places_of(mut places: Content<'_>, items: &[u64], file: u64) -> Result<Vec<Start>, Fault> {
    let version = places.version()?;
    let (sizes, more) = (places.number(1)?, places.number(1)?);
    let width = |bits: u64| match bits & 15 {
        bits @ (0 | 4 | 8) => Ok(usize::try_from(bits).unwrap_or_default()),
        _ => Err(NONE),
    };
    let (offset, length, base) = (width(sizes >> 4)?, width(sizes)?, width(more >> 4)?);
    let index = if version == 0 { 0 } else { width(more)? };
    let wide = if version < 2 { 2 } else { 4 };
    let mut found = Vec::new();
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
        let wanted = items.contains(&item);
        if wanted && ((method, source) != (0, 0) || extents == 0) {
            return Err(NONE);
        }
        for extent in 0..extents {
            places.number(index)?;
            let (at, length) = (places.number(offset)?, places.number(length)?);
            let at = base.checked_add(at);
            let end = at.and_then(|at| at.checked_add(length));
            if (method, source) == (0, 0) && end.is_none_or(|end| end > file) {
                return Err(Fault::Truncated);
            }
            if let (true, 0, Some(at)) = (wanted, extent, at) {
                found.push(Start { item, at, length });
            }
        }
    }
    Ok(found)
}

/// The size of an item, which it says once.
fn size_of(mut properties: Content<'_>, item: u64) -> Result<(u32, u32), Fault> {
    let (mut all, mut indexes) = (None, Vec::new());
    while let Some((name, content)) = properties.next_box()? {
        match &name {
            b"ipco" => all = Some(content),
            b"ipma" => of_item(content, item, &mut indexes)?,
            _ => {}
        }
    }
    let mut size = None;
    for index in indexes {
        if let Some(found) = extent(all.ok_or(NONE)?, index)?
            && size.replace(found).is_some()
        {
            return Err(OTHER);
        }
    }
    size.ok_or(Fault::Dimensions("the AVIF does not say its size"))
}

/// A picture: where its stream begins, how much of it lies there, and the size that its item says.
struct Picture {
    at: u64,
    length: u64,
    size: (u32, u32),
}

impl Picture {
    /// Compares the size with that of the sequence header, which is the first of a stream, but for a delimiter.
    fn check(&self, stream: &[u8]) -> Result<(), Fault> {
        let mut stream = Content(stream);
        loop {
            let head = stream.number(1)?;
            if head & 4 != 0 {
                stream.number(1)?;
            }
            let length = match head & 2 {
                0 => stream.0.len(),
                _ => stream.leb128()?,
            };
            match head >> 3 & 15 {
                1 => {
                    let found = sequence_size(&mut Bits { bytes: stream.0, at: 0 })?;
                    return if found == self.size { Ok(()) } else { Err(OTHER) };
                }
                2 => stream.take(length)?,
                _ => return Err(NONE),
            };
        }
    }
}

/// What a sequence header says of the largest frame (AV1, section 5.5.1).
fn sequence_size(bits: &mut Bits<'_>) -> Result<(u32, u32), Fault> {
    bits.skip(3 + 1);
    if bits.flag()? {
        bits.skip(5);
    } else {
        operating_points(bits)?;
    }
    let (wide, high) = (bits.number(4)? + 1, bits.number(4)? + 1);
    Ok((bits.number(wide)? + 1, bits.number(high)? + 1))
}

fn operating_points(bits: &mut Bits<'_>) -> Result<(), Fault> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(32 + 32);
        if bits.flag()? {
            let mut zeros = 0;
            while !bits.flag()? {
                zeros += 1;
            }
            bits.skip(if zeros < 32 { zeros } else { 0 });
        }
        if bits.flag()? {
            delay_bits = Some(bits.number(5)? + 1);
            bits.skip(32 + 5 + 5);
        }
    }
    let displays = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12);
        if bits.number(5)? > 7 {
            bits.skip(1);
        }
        if let Some(count) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * count + 1);
        }
        if displays && bits.flag()? {
            bits.skip(4);
        }
    }
    Ok(())
}

/// Bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u32,
}

impl Bits<'_> {
    fn skip(&mut self, count: u32) {
        self.at = self.at.saturating_add(count);
    }

    fn flag(&mut self) -> Result<bool, Fault> {
        let byte = self.bytes.get(self.at as usize / 8).ok_or(NONE)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.skip(1);
        Ok(bit == 1)
    }

    /// A number of up to 16 bits.
    fn number(&mut self, count: u32) -> Result<u32, Fault> {
        (0..count).try_fold(0, |number, _| Ok(number << 1 | u32::from(self.flag()?)))
    }
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

    /// A length as AV1 writes it.
    fn leb128(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for place in 0..8 {
            let byte = self.number(1)?;
            value |= (byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| NONE);
            }
        }
        Err(NONE)
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
