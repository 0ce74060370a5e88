//! Content headers and digests as the JSON that SQL keeps.

use std::collections::BTreeMap;

use holdfast_core::digest::{Digests, base64, from_base64};
use holdfast_core::error::Error;
use holdfast_core::image::{Format, Image, ImageLimits};
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Commit, Committed, ContentHeaders};
use serde::{Deserialize, Serialize};

/// `version.headers`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Headers {
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
}

/// What [`read_headers`] reads.
pub(crate) fn write_headers(headers: &ContentHeaders) -> Result<Vec<u8>, Error> {
    let headers = headers.clone();
    serde_json::to_vec(&Headers {
        cache_control: headers.cache_control,
        content_disposition: headers.content_disposition,
        content_language: headers.content_language,
    })
    .map_err(Error::internal)
}

/// Null is none.
pub(crate) fn read_headers(json: Option<&str>) -> Result<ContentHeaders, Error> {
    let Some(json) = json else { return Ok(ContentHeaders::default()) };
    let Headers { cache_control, content_disposition, content_language } =
        serde_json::from_str(json).map_err(Error::internal)?;
    Ok(ContentHeaders { cache_control, content_disposition, content_language })
}

/// `version.digests`: base64 by names of RFC 9530's registry. The CRC-64/NVME has a column of its own.
type Named = BTreeMap<String, String>;

/// What [`read_digests`] reads.
pub(crate) fn write_digests(digests: &Digests) -> Result<Vec<u8>, Error> {
    let mut named = BTreeMap::new();
    let mut add = |name: &str, digest: Option<&[u8]>| {
        if let Some(digest) = digest {
            named.insert(name.to_owned(), base64(digest));
        }
    };
    add("md5", digests.md5.as_ref().map(<[u8; 16]>::as_slice));
    add("sha-256", digests.sha256.as_ref().map(<[u8; 32]>::as_slice));
    add("sha-512", digests.sha512.as_ref().map(<[u8; 64]>::as_slice));
    add("crc32c", digests.crc32c.as_ref().map(<[u8; 4]>::as_slice));
    serde_json::to_vec(&named).map_err(Error::internal)
}

/// Null is none.
pub(crate) fn read_digests(json: Option<&str>) -> Result<Digests, Error> {
    let Some(json) = json else { return Ok(Digests::default()) };
    Ok(digests(&serde_json::from_str(json).map_err(Error::internal)?))
}

fn digests(named: &Named) -> Digests {
    fn of<const N: usize>(named: &Named, name: &str) -> Option<[u8; N]> {
        from_base64(named.get(name)?)
    }
    Digests {
        md5: of(named, "md5"),
        sha256: of(named, "sha-256"),
        sha512: of(named, "sha-512"),
        crc32c: of(named, "crc32c"),
        crc64nvme: None,
    }
}

/// What a bucket takes of images, as `holdfast.image_limits` has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    min_width: u32,
    min_height: u32,
    max_width: u32,
    max_height: u32,
    max_pixels: u64,
}

/// Null is anything, and not only images.
pub(crate) fn read_limits(json: Option<&str>) -> Result<Option<ImageLimits>, Error> {
    let Some(json) = json else { return Ok(None) };
    let Limits { min_width, min_height, max_width, max_height, max_pixels } =
        serde_json::from_str(json).map_err(Error::internal)?;
    Ok(Some(ImageLimits { min_width, min_height, max_width, max_height, max_pixels }))
}

/// A row of `holdfast.image`.
#[derive(Serialize, Deserialize)]
struct Walked {
    format: String,
    width: u32,
    height: u32,
}

pub(crate) fn write_image(image: Option<Image>) -> Result<Option<Vec<u8>>, Error> {
    let walked = image.map(|image| Walked {
        format: image.format.media_type().to_owned(),
        width: image.width,
        height: image.height,
    });
    walked.map(|walked| serde_json::to_vec(&walked).map_err(Error::internal)).transpose()
}

fn image(walked: Walked) -> Result<Image, Error> {
    let Walked { format, width, height } = walked;
    let unknown = || Error::internal(format!("unknown format {format}"));
    let format = Format::from_media_type(&format).ok_or_else(unknown)?;
    Ok(Image { format, width, height })
}

/// What `begin` says of an earlier request under the same Idempotency-Key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repeated {
    version: String,
    size: u64,
    content_type: String,
    found_type: Option<String>,
    etag: String,
    crc64nvme: Option<String>,
    digests: Named,
    image: Option<Walked>,
    created: bool,
    committed_at_us: i64,
}

pub(crate) fn read_repeated(json: &str) -> Result<(Commit, Committed), Error> {
    let first: Repeated = serde_json::from_str(json).map_err(Error::internal)?;
    let commit = Commit {
        version: VersionId::parse(&first.version)?,
        size: first.size,
        content_type: first.content_type,
        found_type: first.found_type,
        etag: first.etag,
        crc64nvme: first.crc64nvme,
        digests: digests(&first.digests),
        image: first.image.map(image).transpose()?,
    };
    Ok((commit, Committed { created: first.created, committed_at_us: first.committed_at_us }))
}
