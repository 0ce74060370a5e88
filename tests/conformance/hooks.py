"""What schemathesis asks for: headers that a component sees, and often a file that is there."""

import os
import re
import zlib

import schemathesis


@schemathesis.hook
def filter_headers(context, headers):
    """Spin answers 500 to a header that is not UTF-8, before a component runs, and a client of HTTP/1.1 sends
    characters beyond ASCII as Latin-1. A length that is no number is refused by any server of HTTP."""
    headers = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    is_sent = all(name.isascii() and value.isascii() for name, value in headers.items())
    return is_sent and headers.get("content-length", "0").isdigit()


@schemathesis.hook
def map_query(context, query):
    """Who waits for progress waits for seconds, and so often nothing happens."""
    if query and str(query.get("wait", "")).isdigit() and 1 < int(query["wait"]) <= 30:
        query["wait"] = 1
    return query


@schemathesis.hook
def map_body(context, body):
    """Of buckets that are made there are a few, which come again: an owner has no more than a hundred."""
    if isinstance(body, dict) and set(body) <= {"name", "policy"}:
        name = body.get("name")
        if isinstance(name, str) and re.fullmatch("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
            body["name"] = f"conformance-{zlib.crc32(name.encode()) % 8}"
    return body


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Of made-up names nearly all are refused: half of them name a bucket that is there, and half of those a file
    that is there. Which ones follows from what was made up, so that a run can be repeated."""
    if not path_parameters:
        return path_parameters
    chosen = zlib.crc32(repr(sorted(path_parameters.items())).encode())
    if "bucket" in path_parameters and "key" not in path_parameters:
        # Its policy is changed by these requests: it must not be one that the other tests go by.
        if chosen % 2 == 0:
            path_parameters["bucket"] = "conformance" if chosen % 4 else f"conformance-{chosen // 4 % 8}"
        return path_parameters
    bucket, _, key = os.environ["HOLDFAST_CONFORMANCE_FILE"].partition("/")
    if chosen % 2 == 0:
        if "bucket" in path_parameters:
            path_parameters["bucket"] = bucket
        if chosen % 4 == 0 and "key" in path_parameters:
            path_parameters["key"] = key
    return path_parameters


# The bytes of an upload of TUS are bytes.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
