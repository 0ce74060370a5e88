//! Every limit, by name and with its unit.

/// Longest object key, in bytes of UTF-8 (S3's own limit).
pub const MAX_KEY_BYTES: usize = 1_024;

/// A body up to this size, in bytes, is held whole: it can be sent again, and leaves in one write.
pub const SMALL_BODY_BYTES: u64 = 64 * 1_024;

/// Largest body of one PUT, in bytes (S3's own limit; more takes multipart).
pub const MAX_PUT_BYTES: u64 = 5 * 1_024 * 1_024 * 1_024;

/// Least size of each part but the last, in bytes (S3's own limit).
pub const MIN_PART_BYTES: u64 = 5 * 1_024 * 1_024;

/// Largest size of a part, in bytes (S3's own limit).
pub const MAX_PART_BYTES: u64 = 5 * 1_024 * 1_024 * 1_024;

/// Size of a part unless the client or the length of the whole says otherwise, in bytes.
pub const DEFAULT_PART_BYTES: u64 = 8 * 1_024 * 1_024;

/// The most parts of an upload (S3's own limit).
pub const MAX_PARTS: u16 = 10_000;

/// Largest object, in bytes (S3's own limit).
pub const MAX_OBJECT_BYTES: u64 = 5 * 1_024 * 1_024 * 1_024 * 1_024;

/// A stream is cut into parts of this many bytes, where its length does not ask for longer ones: what a crash takes.
pub const STREAM_PART_BYTES: u64 = 32 * 1_024 * 1_024;

/// A part of a stream that came for this long is ended as soon as it may be, in seconds.
pub const STREAM_PART_SECONDS: i64 = 10;

/// Of a stream whose length is not known, the first parts have at least this many bytes; later ones more, so that the
/// parts are enough for the largest object.
pub const DEFERRED_PART_BYTES: u64 = 6 * 1_024 * 1_024;

/// How many bytes of streams an instance holds in memory, of all its requests together. A part shall have
/// [`MIN_PART_BYTES`]; until so many came they are held here, or else in an object of their own.
pub const HELD_BYTES: u64 = 16 * 1_024 * 1_024;

/// A form may have files above this many bytes, which are then sent to the store in parts.
pub const FORM_PARTS_ABOVE_BYTES: u64 = 10_000_000;

/// The most pieces of a concatenation.
pub const MAX_CONCAT: usize = 256;

/// How long an upload in parts stays open unless the client says otherwise, in seconds: a day.
pub const SESSION_SECONDS: i32 = 24 * 3_600;

/// How long an upload in parts may stay open, in seconds: 7 days.
pub const MAX_SESSION_SECONDS: i32 = 7 * 24 * 3_600;

/// The most URLs of parts that are signed at once.
pub const MAX_SIGNED_PARTS: usize = 1_000;

/// How long a URL of a part lives unless the client says otherwise, in seconds.
pub const SIGNED_PART_SECONDS: i32 = 3_600;

/// How much of a body is looked at to find its content type, in bytes.
pub const SNIFF_BYTES: usize = 4_096;

/// Largest image, in bytes: all of it is read again before it is committed.
pub const MAX_IMAGE_BYTES: u64 = 512 * 1_024 * 1_024;

/// Longest metadata of an AVIF, in bytes: they are held whole.
pub const MAX_IMAGE_META_BYTES: usize = 256 * 1_024;

/// Longest name of a template, in characters.
pub const MAX_TEMPLATE_NAME_CHARS: usize = 255;

/// The most data of a template, in bytes of its JSON as PostgreSQL writes it.
pub const MAX_TEMPLATE_DATA_BYTES: usize = 64 * 1_024;

/// An upload of unknown length is charged to its quota in steps of this many bytes.
pub const CHARGE_STEP_BYTES: u64 = 64 * 1_024 * 1_024;

/// A connection to PostgreSQL is kept over a wait of this many milliseconds between two steps, and no longer: 64
/// clients that say nothing would else hold all that there are.
pub const KEEP_CONNECTION_MS: u64 = 50;

/// A body that comes through the component has to come this fast, in bytes a second, after its first
/// [`SLOW_GRACE_SECONDS`]: a request holds one of the few places of an instance.
pub const SLOWEST_BYTES_PER_SECOND: u64 = 1_024;

/// For so long a body may come as slowly as it likes, in seconds.
pub const SLOW_GRACE_SECONDS: u64 = 120;

/// A pending version without a renewal for this many seconds belongs to the reaper.
pub const LEASE_SECONDS: i32 = 120;

/// The lease is renewed this often while bytes flow, in seconds: three renewals may fail.
pub const RENEW_SECONDS: u32 = 30;

/// How often a commit without an answer is repeated before the client is told to ask again.
pub const COMMIT_ATTEMPTS: u32 = 3;

/// Versions that one tick of the worker reaps or purges at the most.
pub const TICK_BATCH: i32 = 200;

/// Deltas of batches that one tick of the worker adds up at the most: each record that is rendered leaves one.
pub const FOLD_BATCH: i32 = 10_000;

/// How old a blob without a row has to be before it may be deleted, in seconds, unless `orphan_age_seconds` says
/// otherwise: 14 days. The longest lease has eight, the longest upload (5 GiB at the slowest speed) two, and the rest
/// is for an operator who notices that a backup was restored which is older than the blobs.
pub const ORPHAN_AGE_SECONDS: u64 = 14 * 24 * 3_600;

/// Blobs, rows or drifting owners that one batch of the reconciler looks at, at the most.
pub const RECONCILE_BATCH: usize = 500;

/// Requests to the store that one batch of the reconciler has under way at once.
pub const RECONCILE_AT_ONCE: usize = 16;

/// Above this many blobs without a row in one batch, they are deleted only if they are not most of it: that many
/// come of a wrong database sooner than of crashes.
pub const RECONCILE_MANY: usize = 20;

/// Least length of the HS256 secret and of the tick secret, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// The longest life of a signed URL, in seconds: 7 days, which is what Signature Version 4 gives.
pub const MAX_PRESIGN_SECONDS: i64 = 7 * 24 * 3_600;

/// How long a signed URL lives unless said otherwise, in seconds.
pub const DEFAULT_PRESIGN_SECONDS: i64 = 3_600;

/// The most URLs that one request signs.
pub const MAX_PRESIGN_BATCH: usize = 100;

/// Longest body of a request for signed URLs, in bytes: as many with long keys and metadata.
pub const MAX_PRESIGN_BODY_BYTES: usize = 1_024 * 1_024;

/// How long a share link or an upload token lives unless said otherwise, in seconds: 7 days.
pub const DEFAULT_GRANT_SECONDS: i64 = 7 * 24 * 3_600;

/// The longest life of a share link or an upload token, in seconds: a year of 366 days.
pub const MAX_GRANT_SECONDS: i64 = 366 * 24 * 3_600;

/// The most downloads or uploads that a share link or an upload token is limited to; above, it has no limit.
pub const MAX_GRANT_USES: i64 = 1_000_000_000;

/// The most content types of an upload token.
pub const MAX_GRANT_TYPES: usize = 64;

/// Longest body of a request about a bucket, in bytes: a policy with all that it may list.
pub const MAX_BUCKET_BODY_BYTES: usize = 256 * 1_024;

/// Buckets of one owner who is no admin. `create_bucket` keeps to it.
pub const MAX_BUCKETS_PER_OWNER: usize = 100;

/// The largest number of a policy that is no size of one file: what JSON numbers hold exactly everywhere.
pub const MAX_POLICY_NUMBER: i64 = 9_007_199_254_740_991;

/// The most content types of a policy.
pub const MAX_POLICY_TYPES: usize = 100;

/// The most roles, and the most users, that a member of a policy names.
pub const MAX_POLICY_NAMES: usize = 100;

/// Longest role or user of a policy, in bytes.
pub const MAX_POLICY_NAME_BYTES: usize = 255;

/// The most origins of a policy.
pub const MAX_POLICY_ORIGINS: usize = 100;

/// Longest origin of a policy, in bytes.
pub const MAX_POLICY_ORIGIN_BYTES: usize = 255;

/// Longest Cache-Control of a policy, in bytes.
pub const MAX_POLICY_CACHE_CONTROL_BYTES: usize = 255;

/// How short a policy may keep what was replaced or deleted, in hours: the backup window, and no reader is slower.
pub const MIN_RETENTION_HOURS: i64 = 24;

/// How long a policy may keep what was replaced or deleted, in hours: ten years of 366 days.
pub const MAX_RETENTION_HOURS: i64 = 10 * 366 * 24;

/// The largest width or height that a policy speaks of, in pixels.
pub const MAX_POLICY_SIDE_PIXELS: i64 = 100_000;

/// The most pixels of an image that a policy speaks of.
pub const MAX_POLICY_PIXELS: i64 = 1_000_000_000;

/// The most rules of a policy's lifecycle.
pub const MAX_LIFECYCLE_RULES: usize = 100;

/// The most days of a rule: a hundred years.
pub const MAX_LIFECYCLE_DAYS: i64 = 36_500;

/// Longest id of a rule, in characters.
pub const MAX_LIFECYCLE_ID_CHARACTERS: usize = 255;

/// Longest key of a tag, in characters (S3's own limit).
pub const MAX_TAG_KEY_CHARACTERS: usize = 128;

/// Longest value of a tag, in characters (S3's own limit).
pub const MAX_TAG_VALUE_CHARACTERS: usize = 256;

/// Ended objects that one step of forgetting a bucket takes.
pub const FORGET_BATCH: i32 = 2_000;

/// Steps of forgetting a bucket that one call takes; the worker takes the others.
pub const FORGET_STEPS: usize = 10;

/// Objects of a page that is adopted in one SQL call, and of a page of the store's listing.
pub const ADOPT_PAGE: u16 = 1_000;

/// Objects that one request for adoption looks at, unless it says otherwise, and at the most.
pub const ADOPT_LIMIT: u32 = 10_000;

/// Objects that one request for adoption asks for their headers at once.
pub const ADOPT_AT_ONCE: usize = 32;

/// Refused objects that one answer to an adoption names; it counts them all.
pub const ADOPT_NAMED: usize = 1_000;

/// Objects that one batch of the lifecycle looks at.
pub const EXPIRE_BATCH: i32 = 1_000;

/// Batches of the lifecycle in one tick of the worker.
pub const EXPIRE_BATCHES: usize = 20;
