"""What a supervised process and its supervisor say to each other: JSON, then raw numbers.

Nothing that could run code is sent: the child reads files of strangers, so what it says is not trusted either.
"""

import json
import socket
import struct
import time
from typing import Any

HEADER = struct.Struct(">II")  # bytes of JSON, bytes after it
MAX_JSON = 2**26  # a list of a million frame numbers is 8 MB


def send(channel: socket.socket, message: dict[str, Any], payload: memoryview | bytes = b"") -> None:
    text = json.dumps(message).encode()
    if len(text) > MAX_JSON:
        raise ValueError("the message is too long")
    channel.sendall(HEADER.pack(len(text), len(payload)) + text)
    channel.sendall(payload)


def receive(channel: socket.socket, end: float | None = None) -> tuple[dict[str, Any], int]:
    """A message, and how many bytes follow it. EOFError when the other side is gone, TimeoutError at `end`."""
    num_json, num_payload = HEADER.unpack(receive_bytes(channel, HEADER.size, end))
    if num_json > MAX_JSON:
        raise EOFError
    try:
        message = json.loads(receive_bytes(channel, num_json, end))
    except ValueError:
        raise EOFError from None
    if not isinstance(message, dict):
        raise EOFError
    return message, num_payload


def receive_bytes(channel: socket.socket, count: int, end: float | None = None) -> bytearray:
    data = bytearray(count)
    receive_into(channel, memoryview(data), end)
    return data


def receive_into(channel: socket.socket, room: memoryview, end: float | None = None) -> None:
    while len(room):
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
        try:
            count = channel.recv_into(room)
        except ConnectionError:
            count = 0
        if count == 0:
            raise EOFError
        room = room[count:]
