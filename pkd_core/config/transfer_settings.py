"""Settings of the texts without labels that a teacher labels for its students."""

from typing import Annotated

from pydantic import Field

from pkd_core.config.section import Fraction, Section, Seed


class TransferConfig(Section):
    """Texts without labels that distilled students learn from, besides the training split."""

    unlabelled: Annotated[bool, Field(description="Use the task's unlabelled.tsv where there is one.")] = True
    num_copies: Annotated[
        int, Field(ge=0, le=1000, description="Varied copies of each training example.")
    ] = 0
    mlm_probability: Annotated[
        Fraction,
        Field(
            description="Probability of replacing a word of a copy by one of 15 that the pretrained model's "
            "masked-language head finds most likely there; above 0, the model needs that head."
        ),
    ] = 0.0
    mask_probability: Annotated[
        Fraction, Field(description="Probability of replacing a word of a copy by [MASK].")
    ] = 0.1
    swap_probability: Annotated[
        Fraction,
        Field(
            description="Probability of replacing a span of a copy by one of another example of the same class."
        ),
    ] = 0.1
    ngram_probability: Annotated[
        Fraction, Field(description="Probability of keeping only 1 to 5 words in sequence of a copy.")
    ] = 0.25
    seed: Annotated[
        Seed, Field(description="Seed of the varied copies; the same seed gives the same copies.")
    ] = 0

    @property
    def predicts_words(self) -> bool:
        """Whether words of copies are replaced by those that the pretrained model predicts."""
        return self.num_copies > 0 and self.mlm_probability > 0
