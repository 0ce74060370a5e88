//! What the operations on an upload in parts share.

use crate::Request;

/// The highest number of a part.
pub const MAX_PART_NUMBER: u16 = 10_000;

/// The number of a part: 1 to [`MAX_PART_NUMBER`].
///
/// A type, because SeaweedFS takes an UploadPart with any other number for a PutObject and overwrites the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u16);

impl PartNumber {
    /// The number, if it is one of a part.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (1..=MAX_PART_NUMBER).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// The id of no upload: an empty one would make SeaweedFS treat the key itself.
const NO_UPLOAD: &str = "none";

/// A request on one upload of a key.
pub(super) fn on_upload<'a>(
    method: &'static str,
    bucket: &str,
    key: &str,
    upload_id: &'a str,
) -> Request<'a> {
    let upload_id = if upload_id.is_empty() { NO_UPLOAD } else { upload_id };
    Request::on_object(method, bucket, key).with_query("uploadId", upload_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_numbers() {
        assert!(PartNumber::new(0).is_none() && PartNumber::new(10_001).is_none());
        assert_eq!(PartNumber::new(10_000).map(PartNumber::get), Some(10_000));
    }
}
