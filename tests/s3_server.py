"""An S3 server for tests: moto, in a thread of this process, on a free port of loopback."""

import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the endpoint of a server without buckets; it takes any credentials."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    # moto looks whether there is an object, and then writes it: on a busy machine two requests found none. S3 lets only
    # one of them write.
    one_at_a_time, put_object = threading.Lock(), S3Response.put_object

    def put_object_as_s3(response: Any) -> Any:
        with one_at_a_time:
            return put_object(response)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with patch.object(S3Response, "put_object", put_object_as_s3):
        server.start()
        try:
            _, port = server.get_host_and_port()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()


def new_bucket(endpoint: str) -> str:
    """Create a bucket and return its name."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()
    return name


def s3_environment(endpoint: str) -> dict[str, str]:
    """Return the variables with which pkd finds the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_REGION": "us-east-1",
    }
