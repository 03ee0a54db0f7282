"""The kinds of stage, and the version of each one's code."""

from collections.abc import Mapping
from enum import StrEnum


class StageKind(StrEnum):
    """The kinds of stage, in the order in which a task's data passes through them."""

    TOKENS = "tokens"
    TEACHER = "teacher"
    OWN_TEACHER = "own-teacher"
    STATES = "teacher-states"
    TRANSFER = "transfer-set"
    STUDENT = "student"
    SPEED = "speed"
    EVALUATION = "evaluation"
    DISTANCES = "distances"
    REPORT = "report"
    SEARCH = "search"
    EXPORT = "export"
    LATENCY_CANDIDATES = "latency-candidates"
    LATENCY = "latency"
    CARD = "card"


# A version is raised when code changes so that old results are no longer valid. Beside each version,
# tests/pipeline/golden_results.json records what a tiny run with fixed seeds produces; a test compares the two.
CODE_VERSIONS: Mapping[StageKind, int] = {
    StageKind.TOKENS: 1,
    StageKind.TEACHER: 2,
    StageKind.OWN_TEACHER: 1,
    StageKind.STATES: 1,
    StageKind.TRANSFER: 1,
    StageKind.STUDENT: 2,
    StageKind.SPEED: 1,
    StageKind.EVALUATION: 3,
    StageKind.DISTANCES: 1,
    StageKind.REPORT: 10,
    StageKind.SEARCH: 1,
    StageKind.EXPORT: 1,
    StageKind.LATENCY_CANDIDATES: 1,
    StageKind.LATENCY: 1,
    StageKind.CARD: 5,
}
