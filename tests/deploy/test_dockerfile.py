"""The image: what is copied into it exists, nothing else is sent to the build, and pkd runs there without rights."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = re.sub(r"\\\n", "", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")).splitlines()
SENT = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def test_the_build_is_sent_exactly_what_it_copies_from_the_repository() -> None:
    copied = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    sources = {source for words in copied for source in words}
    assert sources == {line.removeprefix("!") for line in SENT if line.startswith("!")}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert SENT[0] == "*"


def test_every_installation_has_the_locks_versions() -> None:
    installations = [part for line in instructions("RUN") for part in re.findall(r"pip install[^;&]*", line)]
    assert len(installations) == 3
    assert all("-c requirements.lock" in one for one in installations)
    (extras,) = re.findall(r"'\.\[(.*)\]'", installations[-1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"ray", "servers"} == set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_pkd_is_what_the_image_runs_as_a_user_without_rights() -> None:
    assert instructions("ENTRYPOINT") == ['["pkd"]']
    assert instructions("USER") == ["10001"]
    assert LINES.index("USER 10001") > LINES.index("COPY --from=builder /opt/pkd /opt/pkd")
    # The pools' jobs count on both.
    kubernetes = (ROOT / "deploy" / "pools" / "kubernetes.json").read_text(encoding="utf-8")
    assert '"runAsUser": 10001' in kubernetes
    assert "PKD_CACHE=/var/cache/pkd" in instructions("ENV")[-1]


def test_no_index_of_packages_is_named() -> None:
    assert re.findall(r"https?://", "\n".join(LINES)) == []
