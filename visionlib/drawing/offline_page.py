"""What every page that works offline needs: inert data, and hashes for its Content-Security-Policy."""

import base64
import hashlib
import json

from markupsafe import Markup


def embed_json(record: object) -> Markup:
    """Write JSON for a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # A lone surrogate, as in a file name that is not UTF-8, cannot be encoded.
    return Markup(text.encode("utf-8", "backslashreplace").decode())  # noqa: S704  just escaped


def hash_source(text: str) -> str:
    """Return the source of a style or script in a policy that allows it by its hash."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
