"""What every script needs: where Penstock is, and how a check is told.

In: PENSTOCK_URL, PENSTOCK_TOKEN. Out: one line `ok NAME` for each check that held, and the version of
the library. Fails: by an exception, with its words on stderr.
"""

import importlib.metadata
import os
import time

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
POOR = os.environ["PENSTOCK_POOR_TOKEN"]
RIGHT = "The capital of France is Paris."
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": WEATHER},
}


def version(package):
    print(f"version {package} {importlib.metadata.version(package)}", flush=True)


def ok(name):
    print(f"ok {name}", flush=True)


def raises(kind, call):
    """The exception that the call raises, which must be of this kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


class Waited:
    """Measures how long a block took, in seconds."""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
