"""A small server with OpenAI's interface, over real HTTP, that can be told to misbehave."""

import base64
import hashlib
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

KEY = "sk-test-0123456789abcdef"

SECTIONS = {
    "nature": "A quasar at z = 0.3.",
    "xray": "The photon index is 1.8.",
    "interpretation": "Nothing is stated.",
}


def embedding_of(text, width):
    """Return what the server answers for a text: not of unit norm."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=width).astype("<f4")


def chat_answer(content=None, finish_reason="stop", refusal=None, usage=True):
    """Return the body of an answer to a chat request."""
    content = json.dumps(SECTIONS) if content is None and refusal is None else content
    message = {"role": "assistant", "content": content, "refusal": refusal}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}
    if usage:
        answer["usage"] = {"prompt_tokens": 700, "completion_tokens": 100, "total_tokens": 800}
    return answer


class Reply:
    """What a request is answered with instead of the ordinary answer."""

    def __init__(self, status=200, body=None, headers=(), hang=False, cut_after=None):
        self.status = status
        self.body = {"error": {"message": f"status {status}"}} if body is None else body
        self.headers = dict(headers)
        self.hang = hang
        self.cut_after = cut_after  # bytes of the body after which the connection is closed


class OpenAIServer:
    """Answers in a thread of its own; use it in a ``with`` statement.

    ``replies`` are given to the next requests, one each, before ordinary answers; a callable gets
    the ordinary answer and returns the body. ``asked`` holds the bodies of all requests.
    """

    def __init__(self, width=8, base64_only=True, key=KEY):
        self.width = width
        self.base64_only = base64_only
        self.key = key
        self.replies = deque()
        self.asked = []
        self.headers = []
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def texts(self):
        """All texts that were to be embedded, in the order asked."""
        return [text for body in self.asked for text in body.get("input", ())]

    def ordinary(self, path, body):
        """Return the body of the ordinary answer."""
        if path.endswith("/chat/completions"):
            return chat_answer()
        data = []
        for index, text in enumerate(body["input"]):
            row = embedding_of(text, self.width)
            plain = body.get("encoding_format") != "base64" or not self.base64_only
            value = row.tolist() if plain else base64.b64encode(row.tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": value})
        return {"object": "list", "data": data, "model": body["model"]}

    def answer(self, handler, path, body):
        with self._lock:
            self.asked.append(body)
            self.headers.append(dict(handler.headers))
            reply = self.replies.popleft() if self.replies else None
        if reply is None:
            authorised = handler.headers.get("Authorization") == f"Bearer {self.key}"
            wrong = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid"}}
            reply = Reply(body=self.ordinary(path, body)) if authorised else Reply(401, wrong)
        elif callable(reply):
            reply = Reply(body=reply(self.ordinary(path, body)))
        if reply.hang:
            self._stop.wait(30)
            return
        content = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        sent = content.encode()
        handler.send_response(reply.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(sent)))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(sent[: reply.cut_after])
        if reply.cut_after is not None:
            handler.close_connection = True


class _Handler(BaseHTTPRequestHandler):
    owner = None
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self.owner.answer(self, self.path, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked has lost patience

    def log_message(self, *_):
        pass
