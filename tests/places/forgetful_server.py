"""An S3 server that ignores conditions, as some do: it answers 200 to everybody."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape


@contextmanager
def forgetful_server(ignored: str) -> Iterator[str]:
    """Yield the endpoint of a server that ignores one header, "If-None-Match" or "If-Match"."""
    contents: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            key = urlsplit(self.path).path
            expected, is_new = self.headers["If-Match"], self.headers["If-None-Match"] == "*"
            is_refused = is_new and key in contents and ignored != "If-None-Match"
            if expected and ignored != "If-Match":
                is_refused = _tag(contents.get(key, b"")) != expected
            if is_refused:
                self._answer(412)
            else:
                contents[key] = content
                self._answer(200, tag=_tag(content))

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if "list-type" in parse_qs(url.query):
                self._answer(200, _listed(contents).encode())
            elif url.path in contents:
                self._answer(200, contents[url.path], _tag(contents[url.path]))
            else:
                self._answer(404)

        do_HEAD = do_GET

        def do_DELETE(self) -> None:
            contents.pop(urlsplit(self.path).path, None)
            self._answer(204)

        def _answer(self, status: int, content: bytes = b"", tag: str = '"none"') -> None:
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", "Fri, 27 Nov 2026 20:00:00 GMT")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _tag(content: bytes) -> str:
    return f'"{md5(content).hexdigest()}"'


def _listed(contents: dict[str, bytes]) -> str:
    rows = "".join(
        f"<Contents><Key>{escape(key.split('/', 2)[2])}</Key><LastModified>2026-11-27T20:00:00Z</LastModified>"
        f"<ETag>{escape(_tag(content))}</ETag><Size>{len(content)}</Size></Contents>"
        for key, content in contents.items()
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
