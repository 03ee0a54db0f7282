"""The forms in which MLflow's server takes a text for a model whose column is called "sentence"."""

import json

FORMS = ("records", "split", "inputs", "csv")


def request_of(form: str, text: str) -> tuple[str, str]:
    """Return a request for one text: its body and its type."""
    if form == "csv":
        return f"id,sentence\n7,{text}\n", "text/csv"
    bodies = {
        "records": {"dataframe_records": [{"sentence": text, "id": 7}]},
        "split": {"dataframe_split": {"columns": ["sentence"], "data": [[text]]}},
        "inputs": {"inputs": [text]},
    }
    return json.dumps(bodies[form]), "application/json"
