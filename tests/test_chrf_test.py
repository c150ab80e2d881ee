"""The paired bootstrap: scores are corpus chrF, and its p-value tells a copy from a different system."""

import pytest
from sacrebleu.metrics import CHRF

from pipeline.evaluation.significance import paired_bootstrap

REFERENCES = [f"Shall I compare thee to a summer's day number {number}?" for number in range(12)]
NEAR = [text.replace("compare", "liken") for text in REFERENCES]
FAR = [f"Rough winds do shake the darling buds {number}" for number in range(12)]


def test_scores_are_corpus_chrf_and_p_values_follow_the_difference() -> None:
    # Six poems better and six worse than the baseline by nearly as much.
    mixed = [*REFERENCES[:6], *(text.replace("summer", "winter") for text in NEAR[6:])]
    systems = {"copy": NEAR, "far": FAR, "mixed": [text.replace("compare", "measure") for text in mixed]}
    tests = {test.name: test for test in paired_bootstrap(NEAR, systems, REFERENCES, 300)}
    for name, texts in systems.items():
        assert tests[name].chrf == pytest.approx(CHRF().corpus_score(texts, [REFERENCES]).score)
        assert tests[name].baseline == pytest.approx(CHRF().corpus_score(NEAR, [REFERENCES]).score)
    assert tests["far"].p_value < 0.01 and tests["copy"].p_value == 1.0 and tests["mixed"].p_value > 0.01
    assert paired_bootstrap(NEAR, {"far": FAR}, REFERENCES, 300) == paired_bootstrap(
        NEAR, {"far": FAR}, REFERENCES, 300
    )
