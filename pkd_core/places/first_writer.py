"""One of several writers: which content stands at a key, although answers can be lost."""

from pkd_core.errors import StoreError
from pkd_core.places.objects import Objects

_NUM_TRIES = 4


def create_or_read(objects: Objects, key: str, content: bytes) -> bytes:
    """Create an object unless there is one, and return the content that stands there now.

    The caller wins if its own content comes back, also where the answer to its `create` was lost. So the content must
    be the caller's alone: with the name of an attempt or of a holder in it.

    Raises:
        StoreError: If the place fails repeatedly; the object may then have been created.
    """
    for num_left in reversed(range(_NUM_TRIES)):
        try:
            if objects.create(key, content):
                return content
            standing = objects.read(key)
        except StoreError:
            if not num_left:
                raise
        else:
            if standing is not None:
                return standing[0]
            # It was deleted between the two.
    raise StoreError(
        f"{key} in {objects.url} is created and deleted by others all the time: find out by whom."
    )
