//! What a declared digest costs: the same upload with each of them, against one without.

use std::time::Instant;

use anyhow::Result;
use http::{HeaderName, HeaderValue};

use crate::bench::Bench;
use crate::client::Connection;
use crate::payload::{Payload, content_at};
use crate::rounds::median;
use crate::table::Table;
use crate::target::Side;

/// Size of the body, in bytes.
const BYTES: u64 = 64 * 1_024 * 1_024;

/// How a digest is declared.
struct Way {
    title: &'static str,
    header: Option<(&'static str, String)>,
}

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let ways = ways();
    let mut figures: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..bench.rounds {
        for (number, way) in ways.iter().enumerate() {
            let key = format!("bench/digests/{number}/{round}");
            let mut request = bench.target.put(Side::Holdfast, &key, Payload::sized(BYTES))?;
            if let Some((name, value)) = &way.header {
                request
                    .headers_mut()
                    .insert(HeaderName::from_static(name), HeaderValue::try_from(value)?);
            }
            let mut connection = Connection::open(bench.target.authority(Side::Holdfast)).await?;
            let start = Instant::now();
            connection.send(request).await?;
            figures[number].push(BYTES as f64 / 1e6 / start.elapsed().as_secs_f64());
        }
    }
    let mut table =
        Table::new("64 MiB PUT with a digest", &["declared", "MB/s", "share of none (rounds)"]);
    for (way, own) in ways.iter().zip(&figures) {
        let shares: Vec<f64> = own.iter().zip(&figures[0]).map(|(own, none)| own / none).collect();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = shares.iter().copied().fold(0.0, f64::max);
        table.row([
            way.title.to_owned(),
            format!("{:.0}", median(own)),
            format!("{:.2} ({least:.2}-{largest:.2})", median(&shares)),
        ]);
    }
    table.note(
        "Spliced: the component sees no byte, SeaweedFS verifies. Pumped: the component digests.",
    );
    Ok(table)
}

fn ways() -> Vec<Way> {
    use base64::Engine as _;
    use sha2::Digest as _;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let (mut md5, mut sha256, mut sha512) =
        (md5::Md5::new(), sha2::Sha256::new(), sha2::Sha512::new());
    let (mut crc32c, mut crc64) = (0, crc64fast_nvme::Digest::new());
    let mut offset = 0;
    while offset < BYTES {
        let bytes = content_at(offset, BYTES - offset);
        md5.update(&bytes);
        sha256.update(&bytes);
        sha512.update(&bytes);
        crc32c = crc32c::crc32c_append(crc32c, &bytes);
        crc64.write(&bytes);
        offset += bytes.len() as u64;
    }
    let way = |title, name, value| Way { title, header: Some((name, value)) };
    let sha256 = base64(&sha256.finalize());
    vec![
        Way { title: "none (spliced)", header: None },
        way("Content-MD5 (spliced)", "content-md5", base64(&md5.finalize())),
        way("CRC-32C (spliced)", "x-amz-checksum-crc32c", base64(&crc32c.to_be_bytes())),
        way(
            "CRC-64/NVME (spliced)",
            "x-amz-checksum-crc64nvme",
            base64(&crc64.sum64().to_be_bytes()),
        ),
        way("SHA-256 (spliced)", "content-digest", format!("sha-256=:{sha256}:")),
        way("SHA-256 wished for (pumped)", "want-repr-digest", "sha-256=1".to_owned()),
        way(
            "SHA-512 (pumped)",
            "content-digest",
            format!("sha-512=:{}:", base64(&sha512.finalize())),
        ),
    ]
}
