"""What schemathesis leaves out: headers that no component ever sees."""

import schemathesis


@schemathesis.hook
def filter_headers(context, headers):
    """Spin answers 500 to a header that is not UTF-8, before a component runs, and a client of HTTP/1.1 sends
    characters beyond ASCII as Latin-1."""
    return all(str(name).isascii() and str(value).isascii() for name, value in (headers or {}).items())
