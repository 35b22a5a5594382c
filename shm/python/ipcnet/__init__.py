"""IPCNet for Python: topics at memory speed, services, resources, between the processes of one robot.

    import ipcnet

    with ipcnet.connect() as client:
        for message in client.subscribe("talk/#", policy="queue"):
            print(message.topic, message.value)

``ipcnet.aio`` is the same for asyncio. NumPy, PyTorch and TensorFlow are used when they are there, and needed for nothing.
"""

from .client import Client, FullReply, Lease, Offer, Subscription, Writer, connect
from .core import LeavingNotice
from .descriptor import Descriptor
from .library import library
from .media import Audio, File, Haptic, MediaFault, Plane, PointField, Points, Video
from .message import CanFrame, Lineage, Message, Topic
from .records import Layout, RecordField
from .services import LATER, Call, Reply
from .sealed import file_of, open_sealed, seal_bytes, sealed_size
from .status import IpcnetError, Status, status_text
from .tensor import Tensor
from .writing import Loan
from . import aio, cbor, media

__version__ = "0.1.0"


def text_id(text: str) -> int:
    """The id of a topic's name or an origin's text in a lineage."""
    result: int = library().text_id(text.encode())
    return result


__all__ = [
    "connect", "Client", "Subscription", "Lease", "Writer", "Loan", "Offer", "Call", "LATER", "Reply", "FullReply", "Descriptor", "LeavingNotice", "Message", "Topic", "CanFrame", "Lineage", "Layout", "RecordField", "Tensor", "Video", "Plane",
    "Audio", "Points", "PointField", "Haptic", "File", "MediaFault", "IpcnetError", "Status", "status_text", "seal_bytes", "sealed_size", "open_sealed", "file_of", "text_id", "aio", "cbor", "media", "library",
]
