"""Sends a model with the tus client library for Python, as somebody does who has never heard of our command line.

In: PENSTOCK_URL, PENSTOCK_TOKEN. Out: one line `ok NAME` for each check that held. Fails: by an exception.
"""

import hashlib
import os

import requests
from tusclient.client import TusClient

from common import TOKEN, URL, ok, version

PIECE = 1 << 20
BYTES = os.urandom(5 * PIECE + 17)
DIGEST = hashlib.sha256(BYTES).hexdigest()
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
MODEL = f"{URL}/api/v1/models/by-tus"

version("tuspy")
with open("weights.bin", "wb") as file:
    file.write(BYTES)

client = TusClient(f"{MODEL}/versions/upload", headers=HEADERS)
uploader = client.uploader("weights.bin", chunk_size=PIECE, metadata={"filename": "weights.bin", "sha256": DIGEST})
uploader.upload(stop_at=2 * PIECE)
assert uploader.offset == 2 * PIECE, uploader.offset
ok("pieces")

again = client.uploader("weights.bin", chunk_size=PIECE, url=uploader.url, retries=2)
assert again.offset == 2 * PIECE, again.offset
again.upload()
assert again.offset == len(BYTES), again.offset
ok("resume")

files = {"files": [{"name": "weights.bin", "digest": f"sha256:{DIGEST}"}], "format": "opaque", "tags": ["v1"]}
made = requests.post(f"{MODEL}/versions", json=files, headers=HEADERS, timeout=30)
assert made.status_code == 201, made.text
assert made.json()["status"]["tags"]["v1"] == f"sha256:{DIGEST}"
ok("version")
