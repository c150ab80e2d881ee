"""A model hub on loopback: tree and resolve, a CDN under another host name, and the storage of Xet."""

import contextlib
import hashlib
import http.server
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from tiny import TEXT, write_backbone
from transformers import AutoModelForCausalLM, AutoTokenizer

NAME, OLD_NAME, COMMIT = "someone/model", "someone/once", "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_a_member"
NEVER = (
    "README.md", ".gitattributes", "pytorch_model.bin", "training_args.bin", "onnx/model.onnx", "onnx/config.json",
    "16-bit/model.safetensors", "runs/a/events.json",
)  # fmt: skip
LARGE = (".safetensors", ".bin", "tokenizer.json")  # how their names end
CHUNK = 65_536  # bytes of a chunk of Xet
Headers = dict[str, str]


def model_files(folder: Path) -> dict[str, bytes]:
    """A model that has learnt its few texts by heart, made in `folder`, and what lies beside one on the hub."""
    model = AutoModelForCausalLM.from_pretrained(write_backbone(folder))
    tokenizer, optimizer = AutoTokenizer.from_pretrained(folder), torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        for text in TEXT:
            ids = tokenizer(f"{tokenizer.eos_token}{text}", return_tensors="pt")["input_ids"]
            model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    wanted = {path.name: path.read_bytes() for path in folder.iterdir()}
    return wanted | {name: b"not to be had: " + name.encode() * 99 for name in NEVER}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


class HubServer(http.server.ThreadingHTTPServer):
    """Gives out `files` as the one commit of one model; the files `LARGE` lie in git-LFS."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.content = {sha256(content): content for content in files.values()}
        self.xet = self.gated = False
        self.refusals: dict[str, tuple[int, Headers]] = {}  # by the kind of a request
        self.cuts: dict[str, list[int]] = {}  # by SHA-256, the bytes after which the CDN hangs up, one a request
        self.asked: list[str] = []  # method, kind and name of each request
        self.ranges: defaultdict[str, list[str | None]] = defaultdict(list)  # of the requests to the CDN, by SHA-256
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/")
        for start, kind in (
            (f"api/models/{NAME}/tree/", "tree"), (f"{NAME}/resolve/{COMMIT}/", "resolve"), ("cdn/", "cdn"),
            ("api/resolve-cache/", "cache"), (f"api/models/{NAME}/xet-read-token/", "token"),
            ("cas/v1/reconstructions/", "terms"), ("xorb/", "xorb"),
        ):  # fmt: skip
            if path.startswith(start):
                rest = path.removeprefix(start)
                self.server.asked.append(f"{self.command} {kind} {rest}")
                if kind in self.server.refusals:
                    self.answer(*self.server.refusals[kind])
                elif self.server.gated and kind == "resolve" and self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.answer(401, {"X-Error-Code": "GatedRepo"})
                else:
                    getattr(self, kind)(rest)
                return
        if path.startswith((f"api/models/{OLD_NAME}/", f"{OLD_NAME}/")):
            self.answer(307, {"Location": self.path.replace(OLD_NAME, NAME)})
        elif path.startswith("api/models/"):
            self.answer(401, {"X-Error-Code": "RepoNotFound"})  # also of a model that is there and private
        else:
            self.answer(404, {})

    do_HEAD = do_GET

    def answer(self, status: int, headers: Headers, content: bytes = b"", sent: int | None = None) -> None:
        """`sent` bytes of the content, whose whole length is announced."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content[:sent])

    def tree(self, revision: str) -> None:
        if revision != COMMIT:
            self.answer(404, {"X-Error-Code": "RevisionNotFound"})
            return
        folders = {name.rpartition("/")[0] for name in self.server.files} - {""}
        entries: list[dict[str, object]] = [{"type": "directory", "path": path, "oid": "0" * 40} for path in folders]
        for name, content in self.server.files.items():
            entry = {"type": "file", "path": name, "size": len(content), "oid": git_blob(content)}
            if oid := self.large(name):
                entry |= {"lfs": {"oid": oid, "size": len(content), "pointerSize": 134}}
                entry |= {"xetHash": oid[::-1]} if self.server.xet else {}
            entries.append(entry)
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())

    def large(self, name: str) -> str | None:
        return sha256(self.server.files[name]) if name.endswith(LARGE) else None

    def resolve(self, name: str) -> None:
        sha256 = self.large(name)
        etag = sha256 or git_blob(self.server.files[name])
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-ETag": f'"{etag}"'}
        headers["X-Linked-Size"] = str(len(self.server.files[name]))
        elsewhere = f"http://localhost:{self.server.server_port}/cdn/{sha256}"
        self.answer(
            302 if sha256 else 307, headers | {"Location": elsewhere if sha256 else f"/api/resolve-cache/{name}"}
        )

    def cache(self, name: str) -> None:
        content = self.server.files[name]
        self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": f'W/"{git_blob(content)}"'}, content)

    def cdn(self, sha256: str) -> None:
        assert "Authorization" not in self.headers
        asked, content = self.headers["Range"], self.server.content[sha256]
        self.server.ranges[sha256].append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
        cuts = self.server.cuts.get(sha256)
        self.answer(
            206 if asked else 200, {"ETag": '"of the CDN"'} | span, content[start:], cuts.pop(0) if cuts else None
        )

    def token(self, _: str) -> None:
        headers = {"X-Xet-Cas-Url": f"{self.server.url}/cas", "X-Xet-Access-Token": "short-lived"}
        self.answer(200, headers | {"X-Xet-Token-Expiration": str(int(time.time()) + 3600)})

    def terms(self, xet_hash: str) -> None:
        """How the file is put together: from all chunks of one xorb."""
        content = self.server.content[xet_hash[::-1]]
        chunks = {"start": 0, "end": -(-len(content) // CHUNK)}
        part = {"range": chunks, "url": f"{self.server.url}/xorb/{xet_hash}"}
        part["url_range"] = {"start": 0, "end": len(xorb(content)) - 1}
        term = {"hash": xet_hash, "unpacked_length": len(content), "range": chunks}
        answer = {"offset_into_first_range": 0, "terms": [term], "fetch_info": {xet_hash: [part]}}
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def xorb(self, xet_hash: str) -> None:
        content = xorb(self.server.content[xet_hash[::-1]])
        self.answer(206, {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}, content)


def xorb(content: bytes) -> bytes:
    """Plain chunks, each after its header: the version, the length, the compression and the length again."""
    chunks = [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
    lengths = [len(chunk).to_bytes(3, "little") for chunk in chunks]
    return b"".join(b"\0%b\0%b%b" % (length, length, chunk) for length, chunk in zip(lengths, chunks, strict=True))


@contextlib.contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[HubServer]:
    with HubServer(files) as hub:
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield hub
        hub.shutdown()
