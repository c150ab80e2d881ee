"""Gate `encoder_rules`: the cosine of two sentence embeddings, 0 where a rule names a difference in meaning.

An offline stand-in for an NLI model, and not one: it is symmetric, so a sentence that says less than the other passes
in both directions, and it accepts changes of meaning that no rule knows ("buy" against "sell"). At .75 it passes 68 %
of the sample's duplicate questions on dev and 2 % of the others (6 % without the rules). It fails where sentences share
few words: of the sample's hand-written adversarial pairs it passes 5 % of the paraphrases and half of the others.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.augment import rules
from pipeline.augment.encoder import Encoder
from pipeline.config.source import code


class EncoderRules:
    """Cosine of the encoder, 0 to 1, or 0 for a pair that violates a rule (`violated_rule` says which)."""

    name = "encoder_rules"

    def __init__(self) -> None:
        self._encoder = Encoder()
        digest = hashlib.sha256(code(Path(rules.__file__)).encode()).hexdigest()
        self.revision = f"{self._encoder.revision}+rules-{digest[:16]}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The same in both directions."""
        scores = [0.0] * len(pairs)
        kept = [index for index, pair in enumerate(pairs) if rules.violated_rule(*pair) is None]
        for index, cosine in zip(kept, self._encoder.cosines([pairs[index] for index in kept]), strict=True):
            scores[index] = min(max(float(cosine), 0.0), 1.0)
        return scores
