"""Settings of what a student learns from its teacher."""

from typing import Annotated, Literal

from pydantic import Field

from pkd_core.config.section import Count, Fraction, NonNegative, Positive, Section

Reduction = Literal["batch_mean", "element_mean"]
DistillationLoss = Literal["kl", "logits-mse", "dkd"]
Init = Literal["pretrained-first", "teacher-first", "teacher-skip"]


class DistillConfig(Section):
    """The loss L = (1 - alpha) L_CE + alpha L_DS + beta L_PT."""

    alpha: Annotated[
        Fraction, Field(description="Weight of the teacher's predictions; that of the labels is 1 - alpha.")
    ] = 0.5
    temperature: Annotated[
        Positive, Field(description="Divides the logits of both models: higher is softer.")
    ] = 10.0
    beta: Annotated[
        NonNegative,
        Field(description="Weight of the patience loss; its scale depends on distill.patience_reduction."),
    ] = 100.0
    normalize: Annotated[bool, Field(description="Scale each [CLS] state to length 1 first.")] = True
    distillation_reduction: Annotated[
        Reduction,
        Field(
            description="How the loss with the teacher's predictions is averaged: element_mean over examples and "
            "classes (the authors' code), batch_mean over examples."
        ),
    ] = "element_mean"
    patience_reduction: Annotated[
        Reduction,
        Field(
            description="How the patience loss is averaged: element_mean over examples, layers and hidden units (the "
            "authors' code), batch_mean over examples (the paper's formula)."
        ),
    ] = "element_mean"
    distillation_loss: Annotated[
        DistillationLoss,
        Field(
            description="The loss with the teacher's predictions: kl, of softened probabilities, as in the paper; "
            "logits-mse, the squared error of the logits; dkd, which weighs the target class and the others apart. A "
            "regression has its squared error in any case."
        ),
    ] = "kl"
    dkd_target_weight: Annotated[
        NonNegative,
        Field(description="With dkd, weight of the target class (label, else teacher's) against all others."),
    ] = 1.0
    dkd_other_weight: Annotated[
        NonNegative,
        Field(
            description="With dkd, weight of the other classes among themselves; of two classes, without effect."
        ),
    ] = 8.0
    first_head_layer: Annotated[
        Count,
        Field(
            description="With kd.full, the lowest student layer with a classifier head; each layer from there to the "
            "last but one has one."
        ),
    ] = 1
    head_weight: Annotated[
        Fraction,
        Field(
            description="With kd.full, weight of the loss of these heads, shared equally; that of the student's own "
            "classifier is the rest."
        ),
    ] = 0.5
    num_epochs: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="Passes of distilled students over the training data, and over texts without labels where "
            "there are any; 0 for student.num_epochs.",
        ),
    ] = 0
    init: Annotated[
        Literal["student.init", Init],
        Field(
            description="First weights of distilled students, as student.init has them; student.init for the same as "
            "fine-tuned students have."
        ),
    ] = "student.init"
