-- What changes with a bucket's policy, and only then: its entity tag, bare.
create or replace function holdfast.bucket_etag(p_bucket holdfast.bucket) returns text
    language sql immutable parallel safe
return left(encode(sha256(convert_to((p_bucket).name || '/' || (p_bucket).policy::text, 'UTF8')), 'hex'), 32);
