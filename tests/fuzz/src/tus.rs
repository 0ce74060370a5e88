//! The headers of TUS that are more than a number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::limits::MAX_CONCAT;
use holdfast_web::tus::{Concat, MAX_METADATA_BYTES, Metadata, checksum};

/// Three lines: Upload-Metadata, Upload-Concat, Upload-Checksum.
pub fn check(data: &[u8]) {
    let [metadata, concat, sum] = crate::lines::<3>(data);
    if let Ok(text) = std::str::from_utf8(metadata) {
        metadata_is_what_it_says(text);
    }
    if let Ok(text) = std::str::from_utf8(concat) {
        pieces_are_named(text);
    }
    if let Ok(text) = std::str::from_utf8(sum)
        && let Ok(sum) = checksum(text)
    {
        assert_eq!(sum.value.len(), sum.algorithm.length());
        let written = format!("{} {}", sum.algorithm.as_str(), STANDARD.encode(&sum.value));
        assert_eq!(checksum(&written).expect("a checksum"), sum);
    }
}

fn metadata_is_what_it_says(text: &str) {
    let Ok(found) = Metadata::parse(text) else { return };
    assert!(text.len() <= MAX_METADATA_BYTES);
    let total: usize = found.rest.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(total <= 2_048, "more than an object may have");
    if let Some(name) = &found.filename {
        assert!(!name.is_empty() && !name.contains(['/', '\\']), "{name:?}");
    }
    // Written again, it is read as the same; how its client spelled it does not matter.
    let known = [
        ("bucket", &found.bucket),
        ("key", &found.key),
        ("filename", &found.filename),
        ("filetype", &found.filetype),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let rest = found.rest.iter().map(|(name, value)| (name.as_str(), value));
    let pairs: Vec<_> = known
        .chain(rest)
        .map(|(name, value)| format!("{name} {}", STANDARD.encode(value)))
        .collect();
    let written = pairs.join(",");
    if written.len() <= MAX_METADATA_BYTES {
        assert_eq!(Metadata::parse(&written).expect("what was read"), found);
    }
}

fn pieces_are_named(text: &str) {
    let Ok(Concat::Final(pieces)) = Concat::parse(text) else { return };
    assert!((1..=MAX_CONCAT).contains(&pieces.len()));
    for piece in pieces {
        let id = piece.id.to_string();
        assert!(text.contains(&piece.url) && piece.url.to_ascii_lowercase().contains(&id[..8]));
    }
}
