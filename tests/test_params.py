"""Parameters: the profiles agree with each other, and every bad edit is one line that names its key."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.checks import __main__ as checks
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import evaluation_arguments
from pipeline.errors import InputError, stage_main

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "profiles/sample.yaml"
NOTHING = object()
Edit = Callable[[Path], object]


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def edit(key: str, value: object = NOTHING) -> Edit:
    """Set a nested key, written a|b|c, or delete it."""

    def apply(path: Path) -> None:
        params = read(path)
        *above, last = key.split("|")
        block: Any = params
        for name in above:
            block = block[name]
        if value is NOTHING:
            del block[last]
        else:
            block[last] = value
        with path.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(params, file)

    return apply


def text(content: str | bytes) -> Edit:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def replace(old: str, new: str) -> Edit:
    def apply(path: Path) -> None:
        content = path.read_text(encoding="utf-8")
        assert content.count(old) >= 1
        path.write_text(content.replace(old, new, 1), encoding="utf-8")

    return apply


ROW, SYSTEM = "paraphrase|methods|baseline", "sonnet|systems|top_p_tuned"
SET = {"source": "prepared/ap_h", "share": 0.25, "texts": "augmented"}
OUTSIDE = {"model": "backbone", "decoder": "top_p", "top_p": 0.9, "temperature": 1.0, "draws": 1}
BAD: dict[str, tuple[Edit, str]] = {
    "zero epochs": (edit(f"{ROW}|epochs", 0), "paraphrase.methods.baseline.epochs"),
    "fractional epochs": (edit(f"{ROW}|epochs", 2.5), "paraphrase.methods.baseline.epochs"),
    "batch of zero": (edit("paraphrase|defaults|batch_size", 0), ".batch_size: "),
    "lr a string": (edit(f"{ROW}|lr", "2e-5"), "paraphrase.methods.baseline.lr"),
    "lr negative": (edit(f"{ROW}|lr", -0.1), "paraphrase.methods.baseline.lr"),
    "lr NaN": (edit(f"{ROW}|lr", float("nan")), "paraphrase.methods.baseline.lr"),
    "weight decay infinite": (
        edit("sonnet|defaults|weight_decay", float("inf")),
        ".weight_decay: Input should be a",
    ),
    "dropout of one": (edit("sentiment|defaults|dropout", 1.0), ".dropout: "),
    "null": (edit(f"{ROW}|lr", None), "paraphrase.methods.baseline.lr"),
    "a flag as a number": (edit(f"{ROW}|epochs", True), "paraphrase.methods.baseline.epochs"),
    "unknown schedule": (edit(f"{ROW}|schedule", "cosine"), "paraphrase.methods.baseline.schedule"),
    "unknown pooling": (edit(f"{ROW}|pooling", "max"), "paraphrase.methods.baseline.pooling"),
    "unknown key in a row": (edit(f"{ROW}|epoch", 3), "paraphrase.methods.baseline.epoch:"),
    "unknown key in defaults": (edit("sonnet|defaults|kep", 3), ".kep: unknown key"),
    "unknown key in a group": (edit("sentiment|systems", {}), "sentiment.systems: unknown key"),
    "unknown key in a block": (edit("text|stile", "cased"), "text.stile"),
    "unknown key at the top": (edit("sead", 1), "sead: unknown key"),
    "missing key in defaults": (edit("sentiment|defaults|schedule"), ".schedule: Field required"),
    "missing key in a block": (edit("backbone|scratch|lr"), "backbone.scratch.lr"),
    "missing block": (edit("evaluation"), "evaluation: Field required"),
    "missing group": (edit("sonnet|defaults"), "sonnet.defaults: Field required"),
    "a block that is a list": (edit("compute", ["fp32"]), "compute: expected a mapping"),
    "a group that is a number": (edit("sonnet", 3), "sonnet: expected a mapping, got 3"),
    "a row that is a number": (edit(ROW, 3), "paraphrase.methods.baseline: expected a mapping, got 3"),
    "no rows": (edit("paraphrase|methods", {}), "paraphrase.methods: Dictionary should have at least 1 item"),
    "heads do not divide width": (edit("backbone|scratch|heads", 5), "width 64 must be a multiple of heads 5"),
    "block beyond context": (edit("backbone|scratch|block", 1024), "block 1024 must not exceed context 512"),
    "budget below one step": (edit("backbone|scratch|tokens", 1000), "tokens 1000 is less than one step"),
    "unknown corpus": (edit("backbone|scratch|corpora", ["qqp"]), "backbone.scratch.corpora.0"),
    "branch as revision": (edit("backbone|hub|revision", "main"), "backbone.hub.revision"),
    "precision fp16": (edit("compute|precision", "fp16"), "compute.precision"),
    "all select": (edit("text|select|sst", 1.0), "text.select.sst"),
    "few resamples": (edit("evaluation|bootstrap", 1), "evaluation.bootstrap"),
    "row with a period": (edit("sentiment|methods|v1.0", {}), "sentiment.methods: the name 'v1.0'"),
    "row outside its folder": (edit("paraphrase|methods|../x", {}), "paraphrase.methods: the name '../x'"),
    "row with a space": (edit("sentiment|methods|a b", {}), "sentiment.methods: the name 'a b'"),
    "row with a number for a name": (edit("paraphrase|methods", {1: {}}), "paraphrase.methods"),
    "system outside its folder": (edit("sonnet|systems|../x", OUTSIDE), "sonnet.systems"),
    "system of an unknown model": (edit(f"{SYSTEM}|model", "sonnet/none"), "sonnet.systems.top_p_tuned.model"),
    "no threads": (edit("compute|threads", 0), "compute.threads"),
    "no processes": (edit("compute|processes", 0), "compute.processes"),
    "language twice": (edit("back_translation|languages", ["es", "es"]), "back_translation.languages: "),
    "back-translation into English": (edit("back_translation|languages", ["en"]), "back_translation.languages.0"),
    "language outside its folder": (edit("back_translation|languages", ["../x"]), "back_translation.languages.0"),
    "unknown translator": (edit("back_translation|translator|backend", "deepl"), "back_translation.translator.backend"),
    "everything a near copy": (edit("back_translation|checks|near_copy", 0.0), "back_translation.checks.near_copy"),
    "no sentence to translate": (edit("back_translation|selection|sentences", []), "selection.sentences"),
    "generator of an unknown kind": (edit("adversarial|generator|kind", "gpt"), "adversarial.generator.kind"),
    "gate without its model": (edit("adversarial|meaning|gate", "classifier"), "the gate `classifier` wants"),
    "model without its gate": (edit("adversarial|classifier", "models/paraphrase/baseline"), "the others models/back"),
    "classifier outside models": (edit("adversarial|classifier", "/etc/x/y"), "adversarial.classifier: "),
    "training sets that are a list": (edit("training_sets", ["apt"]), "training_sets: expected a mapping"),
    "nothing but augmented pairs": (edit("training_sets|apt|share", 1.0), "training_sets.apt.share"),
    "unknown source of a set": (edit("training_sets|apt|source", "raw"), "training_sets.apt.source"),
    "control of what has no original": (
        edit("training_sets|apt|texts", "original"),
        "apt: texts: original",
    ),
    "training set outside its folder": (edit("training_sets|../x", SET), "training_sets: the name '../x'"),
    "row on an unknown training set": (edit(f"{ROW}|train", "augmented/paraphrase/no"), "methods.baseline.train: "),
    "row on a folder of its own": (edit(f"{ROW}|train", "../../elsewhere"), "paraphrase.methods.baseline.train"),
    "set of an unknown balance": (edit("training_sets|apt|labels", "negative"), "training_sets.apt.labels"),
    "no first stages": (edit("paraphrase|first_stages"), "paraphrase.first_stages: Field required"),
    "first stages that are a list": (edit("paraphrase|first_stages", ["x"]), "paraphrase.first_stages: expected a map"),
    "first stage outside its folder": (edit("paraphrase|first_stages|../x", {}), "paraphrase.first_stages: the name"),
    "first stage with an adapter": (
        edit("paraphrase|first_stages|etpc|adapter", "lora"),
        "adapter, r and targets",
    ),
    "first stage on a first stage": (edit("paraphrase|first_stages|etpc|start", "first_stage/simcse"), "etpc.start: "),
    "row on an unknown first stage": (edit(f"{ROW}|start", "first_stage/no"), "methods.baseline.start: expected one"),
    "row on another task": (edit(f"{ROW}|train", "prepared/etpc"), "methods.baseline.train: expected one of"),
    "unknown objective": (edit(f"{ROW}|objective", "no"), "baseline.objective: expected a file of pipeline/objectives"),
    "objective that is not one": (edit(f"{ROW}|objective", "language_model"), "baseline.objective: expected a file of"),
    "options of another objective": (edit(f"{ROW}|options", {"alpha": 1.0}), "baseline.options.label_smoothing: Field"),
    "option out of range": (edit("paraphrase|methods|r_drop|options|alpha", -1.0), "methods.r_drop.options.alpha"),
    "option of a wrong type": (edit("paraphrase|methods|mtan|options|interval", 0.5), "mtan.options.interval"),
    "adapter without its rank": (edit(f"{ROW}|adapter", "lora"), "adapter, r and targets belong together"),
    "rank without an adapter": (edit(f"{ROW}|r", 8), "adapter, r and targets belong together"),
    "adapter of nothing": (edit("paraphrase|methods|lora_r8|targets", []), "paraphrase.methods.lora_r8.targets"),
    "tasks under another objective": (edit(f"{ROW}|tasks", ["sst"]), "multitask and a list of tasks belong together"),
    "multitask without tasks": (edit("paraphrase|methods|mtan|tasks", []), "multitask and a list of tasks belong"),
    "task twice": (edit("paraphrase|methods|mtan|tasks", ["sst", "sst"]), "mtan.tasks: 'sst' is named more than once"),
    "tasks on mean pooling": (edit("paraphrase|methods|mtan|pooling", "mean"), "tasks want adapter null, pooling last"),
    "exact match in a first stage": (
        edit("paraphrase|first_stages|etpc|exact_match", True),
        "a first stage is a backbone",
    ),
    "exact match of tasks": (edit("paraphrase|methods|mtan|exact_match", True), "mtan: exact_match wants a row of"),
    "exact match with an adapter": (edit("paraphrase|methods|lora_r8|exact_match", True), "lora_r8: exact_match wants"),
    "no ensembles": (edit("paraphrase|ensembles"), "paraphrase.ensembles: Field required"),
    "ensembles that are a list": (edit("paraphrase|ensembles", ["apt"]), "paraphrase.ensembles: expected a mapping"),
    "ensemble of an unknown row": (edit("paraphrase|ensembles|ensemble|members", ["apt", "x"]), "'x' is not a row"),
    "ensemble of one row": (edit("paraphrase|ensembles|ensemble|members", ["apt"]), "at least 2 items"),
    "ensemble outside its folder": (edit("paraphrase|ensembles|../x", {}), "paraphrase.ensembles: the name '../x'"),
    "unknown adapter": (edit("sonnet|methods|lora|adapter|kind", "ia3"), "sonnet.methods.lora.adapter"),
    "adapter of an unknown matrix": (edit("sonnet|methods|lora|adapter|targets", ["c_atn"]), "adapter.lora.targets.0"),
    "prefix of no tokens": (edit("sonnet|methods|prefix|adapter|tokens", 0), "adapter.prefix.tokens"),
    "words through a network": (edit("sonnet|methods|prefix|adapter|init", "Words"), "prefix: init wants projection f"),
    "a network of no use": (edit("sonnet|methods|prefix_flat|adapter|hidden", 8), "hidden wants it true"),
    "prefix of three parts": (edit("sonnet|methods|prefix|adapter|parts", 3), "adapter.prefix.parts"),
    "parts of a classifier": (edit("paraphrase|methods|prefix|adapter|parts", 4), "Prefix].parts: unknown key"),
    "prefix of a rank": (edit("paraphrase|methods|prefix|r", 8), "set all of them or none; a prefix has neither"),
    "unknown mode": (edit("sentiment|methods|sst_full|mode", "prefix"), "sst_full.mode.literal['head','full']"),
    "scorer with an adapter": (edit("sonnet|scorer", "sonnet/prefix"), "sonnet.scorer"),
    "no words may be copied": (edit(f"{SYSTEM}|no_copy_words", 0), "sonnet.systems.top_p_tuned.no_copy_words"),
    "unknown decoder": (edit(f"{SYSTEM}|decoder", "greedy"), "sonnet.systems.top_p_tuned.decoder"),
    "verse with a limit of tokens": (
        edit("sonnet|systems|verse|max_new_tokens", 9),
        "sonnet.systems.verse.max_new_tokens",
    ),
    "top_p above one": (edit(f"{SYSTEM}|top_p", 1.1), "sonnet.systems.top_p_tuned.top_p"),
    "zero temperature": (edit(f"{SYSTEM}|temperature", 0.0), "sonnet.systems.top_p_tuned.temperature"),
    "seed negative": (edit("seed", -1), "seed: Input should be greater than or equal to 0, got -1"),
    "seed too large": (edit("seed", 2**32), "seed: Input should be less than 4294967296"),
    "seed a flag": (edit("seed", True), "seed: Input should be a valid integer, got True"),
    "seed a number with a point": (edit("seed", 1.0), "seed: Input should be a valid integer, got 1.0"),
    "syntax error": (text("seed: [1\nprofile: x"), "not valid YAML"),
    "a key twice": (replace("seed: 11711", "seed: 11711\nseed: 12"), "not valid YAML"),
    "a tab": (replace("  precision", "\tprecision"), "not valid YAML"),
    "not UTF-8": (text(b"seed: \xff\xfe"), "not valid YAML"),
    "a control character": (text("seed: \x00"), "not valid YAML"),
    "empty": (text(""), "expected a mapping of profile, seed"),
    "only a comment": (text("# nothing\n"), "expected a mapping of profile, seed"),
    "a list": (text("- seed\n"), "expected a mapping of profile, seed"),
    "missing": (Path.unlink, "no such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "a folder stands where a file belongs"),
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["checks", "params", *arguments])
    stage_main(checks.main)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_edit_is_one_line_that_names_its_key(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("params.yaml")
    path.write_bytes(SAMPLE.read_bytes())
    change, named = BAD[case]
    change(path)
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch)
    output = capsys.readouterr()
    assert exit_.value.code == 1
    assert output.out == ""
    assert output.err.startswith("error: params.yaml: ") and output.err.endswith("\n")
    assert output.err.count("\n") == 1
    assert named in output.err


def test_a_good_file_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(REPOSITORY)
    run(monkeypatch, "profiles/laptop.yaml")
    assert capsys.readouterr() == ("", "")


def test_an_empty_row_has_the_defaults_and_a_row_overrides_them(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(SAMPLE.read_bytes())
    edit("sentiment|defaults|dataset", "sst")(path)
    edit("sentiment|defaults|mode", "full")(path)
    edit("sentiment|methods|plain", None)(path)
    edit("sentiment|methods|other", {"lr": 0.25, "mode": "head"})(path)
    defaults = read(path)["sentiment"]["defaults"]
    methods = load_params(path).sentiment.methods
    assert methods["plain"].model_dump() == defaults
    assert methods["other"].model_dump() == defaults | {"lr": 0.25, "mode": "head"}
    with pytest.raises(InputError, match="no entry 'none'; it has .*plain"):
        entry(methods, "none", "sentiment.methods")


@pytest.mark.parametrize("written", ["2e-05", "2e-5", "2.0e-5", "0.00002"])
def test_a_learning_rate_may_be_written_as_dvc_writes_it(tmp_path: Path, written: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(SAMPLE.read_bytes())
    row = "sst_head: {dataset: sst, mode: head, lr: "
    replace(f"{row}0.02", f"{row}{written}")(path)
    assert load_params(path).sentiment.methods["sst_head"].lr == 2e-5


@pytest.mark.parametrize("seed", [0, 11711, 2**32 - 1])
def test_the_seed_may_be_any_32_bits(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(SAMPLE.read_bytes())
    edit("seed", seed)(path)
    assert load_params(path).seed == seed


WORDS = ["baseline", "--seed", "1", "--bootstrap", "100", "--confidence", "0.9"]


def test_the_arguments_of_an_evaluation() -> None:
    (row,), settings = evaluation_arguments(WORDS, "row")
    assert (row, settings.bootstrap, settings.confidence, settings.seed) == ("baseline", 100, 0.9, 1)
    assert evaluation_arguments(WORDS[1:])[0] == []


@pytest.mark.parametrize(
    "words, message",
    [
        (WORDS[1:], "the following arguments are required: row; usage: "),
        (WORDS[:-2], "the following arguments are required: --confidence; usage: "),
        ([*WORDS, "again"], "unrecognized arguments: again; usage: "),
        ([*WORDS[:2], "one", *WORDS[3:]], "argument --seed: invalid int value: 'one'; usage: "),
        (
            [*WORDS[:2], "-1", *WORDS[3:]],
            "params.yaml: evaluation.seed: Input should be greater than",
        ),
        ([*WORDS[:-1], "2"], "params.yaml: evaluation.confidence: Input should be less than 1, got 2.0"),
    ],
)
def test_wrong_arguments_of_an_evaluation_are_one_line(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        evaluation_arguments(words, "row")
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
