"""A trained model's card: a README.md in the form of the Hugging Face hub."""

from importlib.metadata import version

from pkd_core.data.task import Task
from pkd_core.evaluation.result import EvaluationResult
from pkd_core.report.card_text import LICENSE, hub_name
from pkd_core.report.cells import markdown_table, points


def model_card(
    result: EvaluationResult,
    task: Task,
    *,
    base_model: str,
    max_length: int,
    address: str,
    teacher_base_model: str | None = None,
) -> str:
    """Return a model's card as Markdown.

    Args:
        result: Of the model's evaluation.
        task: The task that it is for.
        base_model: Name of the pretrained model.
        max_length: Tokens kept of an example.
        address: Where MLflow has the model, such as "models:/pkd-RTE-3l/2".
        teacher_base_model: Name of the pretrained model of a student's teacher, if it is another.
    """
    scores = [(key, points(value)) for key, value in result.scores.items()]
    settings = [(key, str(value)) for key, value in result.settings.items()]
    return f"""{_front_matter(result, base_model)}
# {task.name}: {result.method}, {result.num_layers} layers

A BERT of {result.num_layers} layers for {task.name}, {_how(result.method)}. Made with pkd {version("pkd")}.

{_facts(result, task, base_model, teacher_base_model, max_length)}

## Scores

On the dev data ({result.num_dev} examples), times 100; `{result.selection}` selected the epoch.

{markdown_table(("", "score"), scores)}

## Settings

{markdown_table(("setting", "value"), settings)}

## How to load it

```python
import mlflow

mlflow.set_tracking_uri(...)  # where this model was logged
model = mlflow.pyfunc.load_model("{address}")
model.predict({_example(task)})
```

The folder below `artifacts` holds the same model in transformers' files.

## License

{LICENSE}
"""


def _facts(
    result: EvaluationResult, task: Task, base_model: str, teacher_base_model: str | None, max_length: int
) -> str:
    seed = result.settings.get("teacher.seed") if result.method == "teacher" else result.seed
    facts = [
        ("base model", base_model),
        *([("the teacher's base model", teacher_base_model)] if teacher_base_model else []),
        ("task", task.name),
        ("input", ", ".join(task.text_columns)),
        ("output", _output(task)),
        ("method", result.method),
        ("layers", str(result.num_layers)),
        ("seed", str(seed)),
        ("parameters", f"{result.parameters:,} ({result.size_bytes / 1e6:.1f} MB)"),
        ("tokens of an example", f"at most {max_length}"),
        ("best epoch", str(result.best_epoch)),
        ("trained in", result.precision),
    ]
    return markdown_table(("", ""), facts)


def _output(task: Task) -> str:
    if task.is_regression:
        low, high = task.label_range or (None, None)
        return f"a score from {low} to {high}"
    return ("any number of " if task.multi_label else "") + ", ".join(task.labels)


def _how(method: str) -> str:
    match method:
        case "teacher":
            return "fine-tuned from the base model"
        case "finetune":
            return "fine-tuned on labels alone"
        case _:
            return f"distilled from a fine-tuned teacher by `{method}`"


def _front_matter(result: EvaluationResult, base_model: str) -> str:
    base = f"base_model: {base_model}\n" if hub_name(base_model) else ""
    metrics = "".join(f"- {key.removeprefix('dev/')}\n" for key in result.scores if key.startswith("dev/"))
    return f"""---
{base}library_name: transformers
pipeline_tag: text-classification
metrics:
{metrics}tags:
- pkd
- {result.method}
---
"""


def _example(task: Task) -> str:
    return '["a text"]' if len(task.text_columns) == 1 else '[["first text", "second text"]]'
