//! SeaweedFS against the database: the blobs are those of the rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use holdfast_dev::S3Client;
use holdfast_s3::{GetObject, HeadObject, ListMultipartUploads, ListObjectsV2};

use super::register::told;
use super::{Kind, Options, Row, Violation};
use crate::content::{content, sha};
use crate::history::{Way, Write};
use crate::ledger::Ledger;
use crate::load::PART_BYTES;

/// Where the application keeps its blobs, and where files lie that may have been adopted.
const OURS: &str = "hf/";
const ADOPTED: &str = "faults/";
/// Objects in a page; SeaweedFS honours more than S3's 1,000.
const PAGE: u16 = 5_000;

pub(super) async fn check(
    s3: &S3Client,
    ledger: &mut Ledger,
    rows: &[Row],
    options: Options,
) -> Result<Vec<Violation>> {
    let mut wrong = Vec::new();
    let mut unlisted = HashSet::new();
    for bucket in ["documents", "avatars", "templates", "batches", "assets"] {
        let uploads = ListMultipartUploads { bucket, prefix: "" };
        let uploads = ListMultipartUploads::parse(&s3.call(&uploads, "").await?)?;
        wrong.extend(uploads.into_iter().map(|upload| {
            let text = format!("{bucket}/{} has parts, and its upload is over", upload.key);
            Violation { kind: Kind::Orphan, text }
        }));
        let mut blobs = list(s3, bucket, OURS).await?;
        blobs.extend(list(s3, bucket, ADOPTED).await?);
        let (mut ended, mut named) = (BTreeMap::new(), HashSet::new());
        for row in rows.iter().filter(|row| row.bucket == bucket) {
            if !row.has_bytes() {
                ended.insert(row.s3_key.as_str(), row);
                continue;
            }
            // Several versions may name one.
            named.insert(row.s3_key.as_str());
            let size = blobs.get(&row.s3_key).copied();
            if size.map(i64::try_from).and_then(Result::ok) != row.size {
                let what = format!("{row:?}: the listing has {size:?} bytes");
                let text = format!("{what}, HEAD answers {}", head(s3, bucket, &row.s3_key).await);
                wrong.push(Violation { kind: Kind::Lost, text });
            }
        }
        blobs.retain(|s3_key, _| !named.contains(s3_key.as_str()));
        for (s3_key, size) in blobs {
            let row = ended.get(s3_key.as_str());
            if row.is_none() && s3_key.starts_with(ADOPTED) {
                // Its adoption failed.
                continue;
            }
            let known = (bucket.to_owned(), s3_key);
            let write = whose(s3, ledger, bucket, &known.1).await;
            // The end of an upload by TUS is written down once it is stored: its host was killed in between.
            let is_tail = write.is_some_and(|write| write.way == Way::Tus);
            let may_be = options.rows_may_be_gone || is_tail || ledger.unlisted.contains(&known);
            if row.is_none() && may_be {
                unlisted.insert(known);
                continue;
            }
            let head = head(s3, bucket, &known.1).await;
            let text = format!(
                "{bucket}/{} of {size} bytes, those of {:?}; its row: {row:?}; HEAD: {head}",
                known.1,
                write.map(told)
            );
            wrong.push(Violation { kind: Kind::Orphan, text });
        }
    }
    ledger.unlisted = unlisted;
    Ok(wrong)
}

/// Those of the blobs that are still there.
pub(super) async fn still_there(
    s3: &S3Client,
    blobs: &HashSet<(String, String)>,
) -> Result<HashSet<(String, String)>> {
    let mut left = HashSet::new();
    for (bucket, key) in blobs {
        let head = HeadObject { bucket, key, checksum_mode: false };
        if s3.send(&head, "").await?.status().as_u16() != 404 {
            left.insert((bucket.clone(), key.clone()));
        }
    }
    Ok(left)
}

async fn list(s3: &S3Client, bucket: &str, prefix: &str) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    let mut token: Option<String> = None;
    loop {
        let action = ListObjectsV2 {
            bucket,
            prefix,
            continuation_token: token.as_deref(),
            max_keys: Some(PAGE),
            ..Default::default()
        };
        let page = ListObjectsV2::parse(&s3.call(&action, "").await?)?;
        found.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
        token = page.next_continuation_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Which write uploaded these bytes, all of them or a part, and nothing else.
async fn whose<'a>(
    s3: &S3Client,
    ledger: &'a Ledger,
    bucket: &str,
    key: &str,
) -> Option<&'a Write> {
    let get = GetObject { bucket, key, ..GetObject::default() };
    let bytes = s3.call(&get, "").await.ok()?;
    let has = |write: &&Write| {
        let Some(of) = write.content.filter(|of| of.size >= bytes.len() as u64) else {
            return false;
        };
        let all = content(of.origin, usize::try_from(of.size).unwrap_or_default());
        // Parts begin at multiples of their size.
        (0..=all.len() - bytes.len()).step_by(PART_BYTES).any(|at| all[at..].starts_with(&bytes))
    };
    let whole = ledger.by_sha.get(&sha(&bytes)).and_then(|of| ledger.write(of.origin));
    whole.or_else(|| ledger.writes.iter().rev().find(has))
}

async fn head(s3: &S3Client, bucket: &str, key: &str) -> String {
    match s3.send(&HeadObject { bucket, key, checksum_mode: false }, "").await {
        Ok(answer) => {
            format!("{} {:?}", answer.status(), answer.headers().get("content-length"))
        }
        Err(error) => format!("{error:#}"),
    }
}
