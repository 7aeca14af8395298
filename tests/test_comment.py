"""The pull request's comment: one, updated, harmless, and posted where the event says."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gadprof.gate.sticky import Service
from gadprof.render.comment import LONGEST, MARK, comment_body
from gadprof.results.verdicts import BaseChange, ChangedModule, CommentData, Verdict

REPOSITORY = Path(__file__).resolve().parents[1]
SHA = "a" * 40


class Forge:
    """A local stand-in of the API: comments, pull requests, and what was asked of it."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.status = 200
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                data = json.loads(self.rfile.read(length)) if length else None
                assert self.headers["Authorization"] == "Bearer secret"
                forge.asked.append((self.command, self.path))
                text = json.dumps(forge.reply(self.command, self.path, data)).encode()
                self.send_response(forge.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def reply(self, method: str, path: str, data: Any) -> Any:
        if "/pulls?" in path:
            return self.pulls
        if method == "GET":
            page = int(re.findall(r"page=(\d+)$", path)[0])
            return self.comments[100 * (page - 1) : 100 * page]
        if method == "POST":
            self.add(data["body"])
            return self.comments[-1]
        number = int(path.rpartition("/")[2])
        (found,) = [comment for comment in self.comments if comment["id"] == number]
        found["body"] = data["body"]
        return found

    def add(self, body: str, login: str = "github-actions[bot]") -> None:
        number = len(self.comments) + 1
        self.comments.append({"id": number, "body": body, "user": {"login": login}})


@pytest.fixture
def forge(monkeypatch):
    made = Forge()
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("GITHUB_API_URL", made.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    yield made
    made.server.shutdown()
    made.server.server_close()


def check_json(folder: Path, verdicts: list[dict[str, Any]], **more: Any) -> str:
    path = folder / "check.json"
    path.write_text(json.dumps({"schema_version": 1, "verdicts": verdicts, **more}))
    return str(path)


def verdict(status: str = "fail", model: str = "net", message: str = "too much") -> dict[str, Any]:
    return {"budget": model, "model": model, "rule": "max_macs", "status": status,
            "message": message, "limit": 1, "actual": 2}  # fmt: skip


def test_the_second_run_updates_the_first_ones_comment(forge, tmp_path, run_cli):
    forge.add("unrelated", login="someone")
    code, _, err = run_cli("comment", check_json(tmp_path, [verdict()]), "--pr", "7")
    assert (code, err) == (0, "comment on pull request 7: created\n")
    assert forge.comments[1]["body"].startswith(f"{MARK}\n### ✗ gadprof: 1 rule: 1 broken")
    code, _, err = run_cli("comment", check_json(tmp_path, [verdict("pass")]), "--pr", "7")
    assert (code, err) == (0, "comment on pull request 7: updated\n")
    assert len(forge.comments) == 2
    assert forge.comments[1]["body"].startswith(f"{MARK}\n### ✓ gadprof: 1 rule: 1 hold")
    asked = len(forge.asked)
    assert run_cli("comment", check_json(tmp_path, [verdict("pass")]), "--pr", "7")[2].endswith(
        "same\n"
    )
    assert [method for method, _ in forge.asked[asked:]] == ["GET"]  # nothing was written


def test_a_comment_far_down_is_found_and_a_strangers_forged_one_is_left(forge, tmp_path, run_cli):
    forge.add(f"{MARK} forged", login="stranger")
    for _ in range(150):
        forge.add("talk", login="someone")
    forge.add(f"{MARK}\nold")
    assert run_cli("comment", check_json(tmp_path, [verdict()]), "--pr", "7")[0] == 0
    assert forge.comments[0]["body"] == f"{MARK} forged"
    assert "1 broken" in forge.comments[151]["body"]
    assert len(forge.comments) == 152


def test_the_pull_request_comes_from_the_event(forge, tmp_path, run_cli, monkeypatch):
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 12}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    # a number in the stranger's data is read by nobody
    data = check_json(tmp_path, [verdict()], number=99, pull_request=99)
    assert run_cli("comment", data)[2] == "comment on pull request 12: created\n"
    assert forge.asked[-1] == ("POST", "/repos/owner/name/issues/12/comments")


def fork_event(folder: Path) -> str:
    path = folder / "run.json"
    run = {"head_sha": SHA, "head_branch": "a/b&c",
           "head_repository": {"owner": {"login": "forker"}}, "pull_requests": []}  # fmt: skip
    path.write_text(json.dumps({"workflow_run": run}))
    return str(path)


def test_a_forks_run_is_found_by_its_commit(forge, tmp_path, run_cli):
    forge.pulls = [
        {"number": 4, "head": {"sha": "b" * 40}},
        {"number": 5, "head": {"sha": SHA}},
    ]
    data = check_json(tmp_path, [verdict()])
    code, _, err = run_cli("comment", data, "--event", fork_event(tmp_path))
    assert (code, err) == (0, "comment on pull request 5: created\n")
    assert forge.asked[0][1].endswith("/pulls?state=open&head=forker%3Aa%2Fb%26c")


def test_a_head_that_moved_on_gets_no_comment(forge, tmp_path, run_cli):
    forge.pulls = [{"number": 4, "head": {"sha": "b" * 40}}]
    data = check_json(tmp_path, [verdict()])
    code, _, err = run_cli("comment", data, "--event", fork_event(tmp_path))
    assert code == 2
    assert "no open pull request has the head" in err
    assert forge.comments == []


EVIL = (
    "<img src=x onerror=alert(1)> @everyone [a](http://evil) | x |\n\n# Title ![](http://t/p.png)"
)


def test_no_word_of_a_stranger_acts():
    change = BaseChange(EVIL, {"macs": 1}, {"macs": 2}, (ChangedModule("changed", EVIL, EVIL, 1, 1,
                        1),), 3)  # fmt: skip
    found = Verdict(EVIL, EVIL, EVIL, "fail", EVIL, 1, 2)
    body = comment_body(CommentData((found,), EVIL, (change, BaseChange("m", problem=EVIL))))
    from markdown_it import MarkdownIt

    html = MarkdownIt("gfm-like").render(body) if _has_linkify() else MarkdownIt().render(body)
    for bad in ("<img", 'href="http', "<h1>"):
        assert bad not in html.replace(MARK, "")
    assert body.count("\n# ") == 0
    outside_code = re.sub(r"`[^`]*`", "", body)
    assert not re.search(r"@\w", outside_code)


def _has_linkify() -> bool:
    try:
        import linkify_it  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_comment_is_never_too_long_for_the_service():
    found = tuple(
        Verdict(f"m{n}", "m" * 400, "r" * 400, "fail", "x" * 5000, 1, 2) for n in range(500)
    )
    modules = tuple(ChangedModule("changed", "p" * 500, "t" * 500, 1, 1, 1) for _ in range(8))
    changes = tuple(BaseChange(f"m{n}", {"macs": 1}, {"macs": 2}, modules) for n in range(99))
    assert len(comment_body(CommentData(found, "base", changes))) <= LONGEST


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("[]", "is not a JSON object"),
        ("{", "is not JSON"),
        ('{"schema_version": 2, "verdicts": []}', "another schema version"),
        ('{"schema_version": 1}', "is no check of gadprof"),
        ('{"schema_version": 1, "verdicts": [{"budget": 1}]}', "is no check of gadprof"),
        ('{"schema_version": 1, "verdicts": [], "changes": [{"model": "m", "more": "x"}]}',
         "is no check of gadprof"),
        ('{"a": ' + "[" * 100_000, "is not JSON"),
        (" " * (5 << 20), "larger than 4 MiB"),
    ],
)  # fmt: skip
def test_data_that_is_no_check_is_refused_before_anything_is_asked(
    document, words, forge, tmp_path, run_cli
):
    path = tmp_path / "check.json"
    path.write_text(document)
    code, out, err = run_cli("comment", str(path), "--pr", "1")
    assert (code, out) == (2, "")
    assert words in err
    assert forge.asked == []


def test_a_refusal_names_what_was_asked_and_never_the_token(forge, tmp_path, run_cli):
    forge.status = 403
    code, _, err = run_cli("comment", check_json(tmp_path, [verdict()]), "--pr", "1")
    assert code == 2
    assert "answered 403" in err
    assert "pull-requests: write" in err
    assert "secret" not in err


@pytest.mark.parametrize("address", ["http://example.com", "file:///etc/passwd", "ftp://x"])
def test_a_token_goes_over_https_alone(address):
    from gadprof.errors import ConfigError

    with pytest.raises(ConfigError, match="no https address"):
        Service("a/b", "secret", address)


NET = "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Conv2d(3, {0}, 3))\n"
CONFIG = '[budgets."net.py:build"]\ninput = "3x8x8"\nmax_params = "{0}"\n'


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET.format(4))
    (tmp_path / "gadprof.toml").write_text(CONFIG.format(112))  # 4·(3·9 + 1) parameters
    for words in (["init", "-q", "."], ["add", "."], ["commit", "-qm", "one"], ["tag", "one"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)
    return tmp_path


def test_a_seeded_regression_is_put_down_to_its_module(repository, run_cli):
    (repository / "net.py").write_text(NET.format(5))
    words = ("check", "--base", "one", "--json", "check.json", "--no-latency")
    assert run_cli(*words)[0] == 1
    code, body, _ = run_cli("comment", "check.json", "--print")
    assert code == 0
    lines = " ".join(body.split())
    assert "Against `one`: 1 model changed, 0 did not." in lines
    assert "| parameters | 112 | 140 | +25.00 % |" in lines
    assert re.search(r"changed \| `?0`? \| Conv2d \| \+28 \| \+972 \| \+36", lines)
    assert "✗ | net.py:build" in lines


def test_no_change_is_no_failure_and_says_so(repository, run_cli):
    assert run_cli("check", "--base", "one", "--json", "check.json", "--no-latency")[0] == 0
    body = " ".join(run_cli("comment", "check.json", "--print")[1].split())
    assert "Against `one`: 0 models changed, 1 did not." in body
    assert "### ✓" in body


@pytest.mark.parametrize("how", ["a line in the file", "a reason for all", "a label"])
def test_a_waived_rule_passes_and_is_shown(how, repository, run_cli, monkeypatch):
    (repository / "net.py").write_text(NET.format(5))
    more: tuple[str, ...] = ("--waive", "label fine")
    if how == "a label":
        event = repository / "event.json"
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
        event.write_text(json.dumps({"pull_request": {"labels": [{"name": "other"}]}}))
        more = ("--waiver-label", "fine")
        assert run_cli("check", *more)[0] == 1  # another label waives nothing
        event.write_text(json.dumps({"pull_request": {"labels": [{"name": "fine"}]}}))
    if how == "a line in the file":
        more = ()
        with (repository / "gadprof.toml").open("a") as stream:
            stream.write('[[waivers]]\nbudget = "net.py:build"\nrule = "max_params"\n'
                         'reason = "label fine"\n')  # fmt: skip
    code, out, _ = run_cli("check", "--json", "check.json", *more)
    assert code == 0
    assert "waived: label fine" in " ".join(out.split())
    assert json.loads((repository / "check.json").read_text())["verdicts"][0]["status"] == "waived"


@pytest.mark.parametrize(
    ("waiver", "words"),
    [
        ('budget = "nets"\nrule = "max_params"\nreason = "x"', "name the budget 'nets'"),
        ('budget = "net.py:build"\nrule = "max_params"', "needs reason"),
        ('budget = "net.py:build"\nrule = "max_params"\nreason = " "', "is not text"),
    ],
)
def test_a_waiver_that_names_nothing_is_refused(waiver, words, repository, run_cli):
    with (repository / "gadprof.toml").open("a") as stream:
        stream.write(f"[[waivers]]\n{waiver}\n")
    code, _, err = run_cli("check")
    assert code == 2
    assert words in err


def test_what_can_not_be_judged_is_not_waived(repository, run_cli):
    (repository / "net.py").write_text("def build():\n    raise RuntimeError('no')\n")
    assert run_cli("check", "--waive", "all is well")[0] == 1


def test_the_recipes_of_the_docs_name_what_the_action_has():
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    action = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))
    text = (REPOSITORY / "docs" / "gate.md").read_text(encoding="utf-8")
    recipes = [yaml.safe_load(part) for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(recipes) == 3
    for recipe in recipes:
        for job in recipe["jobs"].values():
            for step in job["steps"]:
                if "gadprof" in step.get("uses", ""):
                    assert set(step.get("with", {})) <= set(action["inputs"])
    untrusted, trusted = recipes[1:]
    assert untrusted["permissions"] == {"contents": "read"}
    assert "secrets" not in json.dumps(untrusted)
    assert "checkout" not in json.dumps(trusted)  # the stranger's code never lies there
    assert "GITHUB_TOKEN" not in json.dumps(untrusted)


@pytest.mark.slow
def test_base_and_head_are_measured_in_one_run(repository, run_cli):
    pytest.importorskip("scipy", reason="needs scipy")
    (repository / "net.py").write_text(NET.format(64))
    words = ("check", "--base", "one", "--json", "check.json", "--time-limit", "3s")
    assert run_cli(*words)[0] == 1
    (change,) = json.loads((repository / "check.json").read_text())["changes"]
    ratio, low, high = change["latency"]
    assert low <= ratio <= high
    assert "latency, interleaved" in run_cli("comment", "check.json", "--print")[1]
