"""How this process meets hosts over TLS: under the authorities that the environment or certifi names.

Read once for all clients of a process, since that takes a fiftieth of a second of work, and most clients of a node or
an app never use it. So an authority that is changed counts from the next start on.

Source: httpx manual, "SSL" (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
"""

import ssl
from functools import cache

import httpx


@cache
def tls_context() -> ssl.SSLContext:
    """Return what every client of this process checks hosts with; nobody changes it."""
    return httpx.create_ssl_context()
