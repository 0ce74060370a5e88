//! Images: their format, width and height, by their content from the first byte to the last.
//!
//! What is declared or named counts for nothing. The structure of the whole file is walked (chunks, segments, boxes),
//! without decoding a pixel, in the memory of one chunk of the stream: so a file that says one thing in its header
//! and another behind it, that is cut, or that has something else behind its end (an archive, a page) is no image.
//!
//! A library that reads headers (`imagesize`, ...) stops where the dimensions are, which is what hostile files rely on.

mod avif;
mod bytes;
mod gif;
mod jpeg;
mod png;
mod webp;

use std::fmt;

use bytes::Bytes;

use crate::error::{Code, Error};
use crate::limits::MAX_IMAGE_BYTES;
use crate::ports::Body;

/// The most pixels of a side, whatever a policy says: an int4 of SQL.
const MAX_SIDE: u32 = 0x7fff_ffff;

/// What an image is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics, also animated.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, also animated.
    WebP,
    /// GIF, also animated.
    Gif,
    /// AVIF, also a sequence.
    Avif,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::WebP, Self::Gif, Self::Avif];

    /// The media type, which SQL and the answers know it by.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Avif => "image/avif",
        }
    }

    /// The format of a media type.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.media_type() == media_type)
    }
}

/// An image that was walked to its end. Width and height are those of the stored pixels, in pixels, before any
/// rotation that its metadata asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it is made as.
    pub format: Format,
    /// At least 1.
    pub width: u32,
    /// At least 1.
    pub height: u32,
}

/// What a bucket takes of images, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// In pixels.
    pub min_width: u32,
    /// In pixels.
    pub min_height: u32,
    /// In pixels.
    pub max_width: u32,
    /// In pixels.
    pub max_height: u32,
    /// Width times height.
    pub max_pixels: u64,
}

impl ImageLimits {
    /// Whether an image is within them.
    ///
    /// # Errors
    /// [`Code::InvalidImage`] by `policy.image`.
    pub fn check(&self, image: &Image) -> Result<(), Error> {
        let Image { width, height, .. } = *image;
        let pixels = u64::from(width) * u64::from(height);
        if (self.min_width..=self.max_width).contains(&width)
            && (self.min_height..=self.max_height).contains(&height)
            && pixels <= self.max_pixels
        {
            return Ok(());
        }
        let message = format!(
            "The image has {width} x {height} pixels; the bucket takes {} x {} to {} x {}, and {} in all at the most",
            self.min_width, self.min_height, self.max_width, self.max_height, self.max_pixels
        );
        Err(Error::new(Code::InvalidImage, message).rule("policy.image"))
    }
}

/// Why a file is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None of the formats, or not as its format is.
    Format(&'static str),
    /// It ends before its end.
    Truncated,
    /// Something is behind its end.
    Trailing,
    /// It has none, or says two things of them.
    Dimensions(&'static str),
}

/// Why a walk came to no end.
enum Failure {
    /// Because of the file.
    Fault(Fault),
    /// It could not be read.
    Read(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

impl Fault {
    fn into_error(self) -> Error {
        let (code, rule, message) = match self {
            Self::Format(why) => (Code::InvalidContentType, "image.format", why),
            Self::Truncated => {
                let why = "it ends before the end of the image; send all of it";
                (Code::InvalidImage, "image.truncated", why)
            }
            Self::Trailing => {
                let why = "it has bytes that do not belong to the image; save it anew without them";
                (Code::InvalidImage, "image.trailing", why)
            }
            Self::Dimensions(why) => (Code::InvalidImage, "image.dimensions", why),
        };
        Error::new(code, format!("The content is no image that may be stored here: {message}"))
            .rule(rule)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format.media_type(), self.width, self.height)
    }
}

/// Walks a file of `size` bytes, of which the first are `head`. `open` reads it from an offset on; it is asked for
/// what lies behind `head`, and again where a long stretch is passed over: at most once a MiB of the file.
///
/// # Errors
/// * [`Code::InvalidContentType`] by `image.format`: no PNG, JPEG, WebP, GIF or AVIF.
/// * [`Code::InvalidImage`] by `image.truncated`, `image.trailing` or `image.dimensions`.
/// * [`Code::EntityTooLarge`]: above [`MAX_IMAGE_BYTES`].
/// * What `open` and its bodies fail with.
pub async fn inspect<B: Body>(
    size: u64,
    head: Vec<u8>,
    open: impl AsyncFn(u64) -> Result<B, Error>,
) -> Result<Image, Error> {
    if size > MAX_IMAGE_BYTES {
        let message = format!("An image may have at most {MAX_IMAGE_BYTES} bytes");
        return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxImageBytes"));
    }
    walk(size, head, open).await.map_err(|failure| match failure {
        Failure::Fault(fault) => fault.into_error(),
        Failure::Read(error) => error,
    })
}

async fn walk<B: Body>(
    size: u64,
    head: Vec<u8>,
    open: impl AsyncFn(u64) -> Result<B, Error>,
) -> Result<Image, Failure> {
    let format = format_of(&head)?;
    let mut bytes = Bytes::new(size, head, open);
    let (width, height) = match format {
        Format::Png => png::walk(&mut bytes).await?,
        Format::Jpeg => jpeg::walk(&mut bytes).await?,
        Format::WebP => webp::walk(&mut bytes).await?,
        Format::Gif => gif::walk(&mut bytes).await?,
        Format::Avif => avif::walk(&mut bytes).await?,
    };
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(Fault::Dimensions("it has no width or height that an image may have").into());
    }
    Ok(Image { format, width, height })
}

/// By the first bytes.
fn format_of(head: &[u8]) -> Result<Format, Fault> {
    match head {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(Format::Png),
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::WebP),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Ok(Format::Avif),
        _ => Err(Fault::Format("it is neither PNG, JPEG, WebP, GIF nor AVIF")),
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
