"""Ask the process of this container whether it is ready: exit code 0 if it is, 1 with the reason.

A container runs one of the workers or the API, so one of their ports listens.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 4.0


def urls() -> list[str]:
    """Where a worker or the API would answer."""
    monitor = int(os.environ.get("HEADRACE_MONITOR_PORT", "6066"))
    api = int(os.environ.get("HEADRACE_API_PORT", "8080"))
    monitors = [f"http://127.0.0.1:{monitor + n}/readyz/" for n in range(3)]
    return [*monitors, f"http://127.0.0.1:{api}/readyz"]


def reason() -> str | None:
    """Why it is not ready, None when it is."""
    for url in urls():
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            return f"{url}: {error.code} {error.read(1000).decode(errors='replace')}"
        except (urllib.error.URLError, OSError) as error:
            cause = getattr(error, "reason", error)
            if not isinstance(cause, ConnectionRefusedError):
                return f"{url}: {cause}"
    return "nothing listens yet"


if __name__ == "__main__":
    sys.exit(reason())
