"""What the profile gpt2 fetches, served on loopback: raw files, and tiny random models of the real architectures.

Only GPT-2 has learnt something, as the stage `backbone` refuses a model that has not. Its tokenizer is the real one.
"""

import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import torch
from hub_server import git_blob, sha256
from ruamel.yaml import YAML
from small_project import REPOSITORY
from test_adversarial import write_seq2seq
from test_gates import write_bleurt, write_nli
from test_marian import write_model
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.sizes import gpt2_tokenizer

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
SAMPLE = REPOSITORY / "data/sample"
Files = Mapping[str, bytes]


def write_gpt2(folder: Path) -> None:
    """GPT-2 with two narrow layers, which has read some poems and questions of the sample."""
    tokenizer = gpt2_tokenizer()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_positions=544, n_layer=2, n_embd=32, n_head=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    questions = (SAMPLE / "quora-train.csv").read_text().replace("\t", " ")
    ids = tokenizer(f"{(SAMPLE / 'sonnets.txt').read_text()}{questions}"[:30000], return_tensors="pt")["input_ids"][0]
    blocks = ids[: len(ids) // 512 * 512].view(-1, 8, 64)
    for batch in (*blocks, *blocks):
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_models(folder: Path, params: Mapping[str, Any]) -> dict[str, Files]:
    """The files of every model that the parameters name, by its name on the hub."""
    marian, generator = params["back_translation"]["translator"]["marian"], params["adversarial"]["generator"]
    questions = [line.split("\t")[2] for line in (SAMPLE / "quora-train.csv").read_text().splitlines()[1:400]]
    names = {"gpt2": params["backbone"]["hub"]["name"], "t5": generator["seq2seq"]["name"]}
    names |= {
        gate: params["adversarial"][kind][gate]["name"] for kind, gate in (("meaning", "nli"), ("surface", "bleurt"))
    }
    write_gpt2(folder / "gpt2")
    write_seq2seq(folder / "t5", "t5")
    write_nli(folder / "nli", ["entailment", "neutral", "contradiction"])
    write_bleurt(folder / "bleurt")
    for number, language in enumerate(params["back_translation"]["languages"]):
        for seed, (source, target) in enumerate((("en", language), (language, "en")), 2 * number):
            pair, code = f"{source}-{target}", marian["codes"].get(target)
            write_model(folder / pair, questions, seed)
            if code:  # as the models of several languages, among them those for Arabic and Chinese
                vocabulary = json.loads((folder / pair / "vocab.json").read_text())
                rare = next(piece for piece, place in vocabulary.items() if place == 150)
                vocabulary[f">>{code}<<"] = vocabulary.pop(rare)
                (folder / pair / "vocab.json").write_text(json.dumps(vocabulary))
            names[pair] = marian["model"].format(source=source, target=target)
    return {name: {file.name: file.read_bytes() for file in (folder / own).iterdir()} for own, name in names.items()}


def cut(name: str) -> str:
    """The beginning of a file of the sample: some rows of a table, some poems."""
    text = (SAMPLE / name).read_text(encoding="utf-8")
    if name.endswith(".csv"):
        return "".join(text.splitlines(keepends=True)[:150])
    return (
        text
        if name.endswith(".xml")
        else "".join(re.split(r"(?m)^(?=\d+$)", text)[: 17 if name == "sonnets.txt" else 5])
    )


class Handler(http.server.BaseHTTPRequestHandler):
    """The hub's `tree`, `revision` and `resolve`, with every file in its one commit; and raw files under /raw/."""

    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0]).removeprefix("/")
        if about := re.fullmatch(r"api/models/(.+?)/(tree|revision)/[^/]+", path):
            self.about(*about.groups())
        elif one := re.fullmatch(r"(.+?)/resolve/[^/]+/(.+)", path):
            self.give(self.server.models.get(one[1], {}).get(one[2]), {"X-Repo-Commit": COMMIT})
        elif path.startswith("raw/"):
            self.give(self.server.raw.get(path.removeprefix("raw/")), {})
        else:
            self.give(None, {})

    do_HEAD = do_GET

    def about(self, name: str, kind: str) -> None:
        if name not in self.server.models:
            self.give(None, {"X-Error-Code": "RepoNotFound"})
            return
        own = self.server.models[name]
        answer: Any = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in own]}
        if kind == "tree":
            answer = [
                {"type": "file", "path": file, "size": len(content), "oid": git_blob(content)}
                for file, content in own.items()
            ]
        self.give(json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def give(self, content: bytes | None, headers: dict[str, str]) -> None:
        self.server.asked.append(self.path)
        self.send_response(404 if content is None else 200)
        if content is None:
            headers = {"X-Error-Code": "EntryNotFound"} | headers
        else:
            headers |= {"ETag": f'"{sha256(content)}"'}
        for name, value in {**headers, "Content-Length": str(len(content or b""))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and content:
            self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, models: Mapping[str, Files], raw: Files) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.raw, self.asked = models, raw, list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def manifest(self) -> str:
        """The raw files, as data/sources/course.yaml names them."""
        known = {
            name: {"urls": [f"{self.url}/raw/{name}"], "git_blob": git_blob(content)}
            for name, content in self.raw.items()
        }
        return json.dumps(known)  # JSON is YAML


@contextmanager
def serve(models: Mapping[str, Files]) -> Iterator[Server]:
    named = YAML(typ="safe").load(REPOSITORY / "data/sources/course.yaml")
    with Server(models, {name: cut(name).encode() for name in named}) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def small(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with smaller sizes, and with thresholds between the scores of random models; every row stays."""
    params["compute"] = {"precision": "fp32", "threads": 1, "processes": 1}
    params["text"]["train_rows"] = {"sst": 60, "cfimdb": 40, "paraphrase": 120}
    translation, adversarial = params["back_translation"], params["adversarial"]
    translation["selection"]["pairs"] = 6
    translation["translator"]["marian"] |= {"beams": 1, "max_length": 48}
    translation["checks"] = {"near_copy": 1.0, "length_ratio": 99.0, "similarity": None}
    adversarial["questions"] = 12
    adversarial["sampling"] |= {"candidates": 3, "retries": 1, "max_new_tokens": 24}
    adversarial["meaning"]["threshold"], adversarial["surface"]["threshold"] = 0.02, -1.9
    tables = params["sentiment"], params["paraphrase"], params["sonnet"]
    rows = [row for table in tables for row in (table["defaults"], *table["methods"].values())]
    for row in (*rows, *params["paraphrase"]["first_stages"].values()):
        row |= {"epochs": 1} | ({"batch_size": 32} if row.get("batch_size", 0) > 32 else {})
    for row in params["paraphrase"]["methods"].values():
        if row.get("options", {}).get("interval"):
            row["options"]["interval"] = 2
    params["sonnet"]["defaults"]["select_draws"] = 1
    params["sonnet"]["methods"]["prefix_third"]["adapter"]["layers"] = 1  # of two
    params["sonnet"]["methods"]["full_b8_lr1e5"] |= {"epochs": 3, "evaluations_per_epoch": 1}  # three to keep
    params["sonnet"]["system_defaults"]["max_new_tokens"] = 24
    for system in (*params["sonnet"]["systems"].values(), *params["sonnet"]["ensembles"].values()):
        system |= {key: least for key, least in (("draws", 2), ("samples", 4), ("candidates", 2)) if key in system}
        system |= {"max_new_tokens": None} if system["decoder"] == "verse" else {}
    params["evaluation"]["bootstrap"] = 100
    return params
