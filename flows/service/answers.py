"""Whether a server of our own answers yet."""

import http.client
import urllib.request


def answers(url: str, seconds: float = 1.0) -> bool:
    """Return whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False
