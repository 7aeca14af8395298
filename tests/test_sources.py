"""Model strings: what each names, and what a wrong one says. One line, exit 2, a way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gadprof.errors import GadprofError, MissingExtraError, SourceError, UnknownNameError
from gadprof.models.sources import PACKAGE_KINDS, build_module, default_shapes, load, resolve

BUILD = "import torch\n\ndef build():\n    return torch.nn.Conv2d(3, 4, 3)\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a user's file into the current folder; gives its name."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return name

    return make


def error_of(text: str) -> str:
    """What building a model string says when it fails, and that it is one gadprof error."""
    with pytest.raises(GadprofError) as caught:
        build_module(resolve(text))
    assert caught.value.exit_code == 2
    return " ".join(str(caught.value).split())


def python(
    *arguments: str, folder: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder with this checkout's gadprof, ``path`` before every other module."""
    root = Path(__file__).resolve().parents[1]
    places = [str(place) for place in (path, root) if place is not None]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")]),
        "GADPROF_STORE": "off",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=240,
    )  # fmt: skip


# --- what a string names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "target", "attribute"),
    [
        ("gadnet32", "builtin", "gadnet32", ""),
        (" gadnet32:s=4 ", "builtin", "gadnet32", ""),
        ("timm:resnet50", "timm", "resnet50", ""),
        ("torchvision:mobilenet_v2", "torchvision", "mobilenet_v2", ""),
        ("transformers:BertModel", "transformers", "BertModel", ""),
        ("net.py:build", "file", "net.py", "build"),
        ("a folder/net.v2.py:Net", "file", "a folder/net.v2.py", "Net"),
        ("C:/nets/net.py:build", "file", "C:/nets/net.py", "build"),
        ("package.module:build", "package", "package.module", "build"),
        ("Model.ONNX", "onnx", "Model.ONNX", ""),
    ],
)
def test_a_string_is_understood_without_building_it(text, kind, target, attribute):
    source = resolve(text)
    assert (source.kind, source.target, source.attribute) == (kind, target, attribute)
    assert (source.spec is not None) == (kind == "builtin")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SourceError, "an empty model name; 'gadprof models' lists"),
        ("   ", SourceError, "an empty model name"),
        ("timm:", SourceError, "'timm:' names no model; type for example timm:resnet50"),
        ("net.py", SourceError, "'net.py' names no function; type net.py:build"),
        ("9" * 5000, SourceError, "a model string of 5,000 characters, more than 4,096"),
        ("hrnte32", UnknownNameError, "did you mean 'hrnet32'"),
        ("hrnte32:build", UnknownNameError, "did you mean 'hrnet32'"),
        ("gadnet32:zz=4", UnknownNameError, "has no knob 'zz'"),
    ],
)
def test_a_string_that_names_nothing_says_what_to_type(text, error, message):
    with pytest.raises(error) as caught:
        resolve(text)
    assert message in str(caught.value)


def test_understanding_runs_no_code_and_loads_nothing_heavy(write):
    write("loud.py", "raise SystemExit('run')\n")
    code = (
        "import sys; from gadprof.models.sources import resolve; resolve('loud.py:build'); "
        "resolve('timm:resnet50'); resolve('gadnet32'); "
        "print([n for n in ('torch', 'timm', 'torchvision', 'loud') if n in sys.modules])"
    )
    done = python("-c", code, folder=Path.cwd())
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


# --- timm and torchvision -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "wrong", "right"),
    [
        ("timm", "resnet5O", "resnet50"),
        ("timm", "mobilnetv2_100", "mobilenetv2_100"),
        ("torchvision", "mobilnet_v2", "mobilenet_v2"),
        ("torchvision", "ResNet-50", "resnet50"),
    ],
)
def test_a_wrong_name_of_a_package_gets_the_nearest_names(package, wrong, right):
    pytest.importorskip(package)
    message = error_of(f"{package}:{wrong}")
    assert message.startswith(f"{package} has no model {wrong!r}; did you mean ")
    assert repr(right) in message


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_name_near_nothing_says_where_the_names_are(package):
    pytest.importorskip(package)
    assert error_of(f"{package}:0000000000").endswith("list_models()")


@pytest.mark.parametrize("package", sorted(PACKAGE_KINDS))
def test_a_package_that_is_not_installed_names_its_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        build_module(resolve(f"{package}:resnet50"))
    extra = PACKAGE_KINDS[package]
    expected = f"'{package}:resnet50' needs {package}; type: pip install 'gadprof[{extra}]'"
    assert str(caught.value) == expected


def test_a_package_that_is_installed_but_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("import a_module_that_timm_needs\n")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    message = error_of("timm:resnet50")
    assert message == "importing timm failed: No module named 'a_module_that_timm_needs'"


def test_a_model_of_torchvision_is_built_without_fetching_weights(monkeypatch):
    pytest.importorskip("torchvision")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fetched weights")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    module = build_module(resolve("torchvision:fcn_resnet50"), device="meta")
    assert not module.training
    assert next(module.parameters()).is_meta


# --- a user's file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\nraise ValueError('no weights')\n", "net.py:3: ValueError: no weights"),
        ("x = {}\ny = x['width']\n", "net.py:2: KeyError: 'width'"),
        ("assert 1 == 2\n", "net.py:1: AssertionError"),
        ("\nimport a_module_that_is_absent\n", "net.py:2: ModuleNotFoundError: No module named "),
        ("def make():\n    return 1 / 0\n\nz = make()\n", "net.py:2: ZeroDivisionError: "),
        ("import sys\nsys.exit(3)\n", "net.py:2: called sys.exit(3)"),
        ("raise RuntimeError('two\\nlines')\n", "net.py:1: RuntimeError: two lines"),
        ("def build(:\n    pass\n", "net.py:1:11: SyntaxError: "),
        ("def build():\n\tx = 1\n        return x\n", "net.py:3:"),
        ("def build():\nreturn 1\n", "net.py:2:"),
    ],
)
def test_a_file_that_raises_on_import_says_its_error_and_where(write, text, message):
    path = write("net.py", text + BUILD)
    assert error_of(f"{path}:build").startswith(message)


def test_an_error_raised_in_another_file_names_both_lines(write):
    helper = Path(write("helper_that_divides.py", "def go():\n    return 1 / 0\n")).resolve()
    path = write("net.py", "import helper_that_divides\n\nhelper_that_divides.go()\n" + BUILD)
    assert error_of(f"{path}:build") == (
        f"net.py:3: ZeroDivisionError: division by zero (raised at {helper}:2)"
    )


def test_a_syntax_error_in_an_imported_file_names_that_file(write):
    helper = Path(write("helper_with_a_typo.py", "x = (1,\n")).resolve()
    path = write("net.py", "import helper_with_a_typo\n" + BUILD)
    message = error_of(f"{path}:build")
    assert message.startswith(f"{helper}:1:5: SyntaxError: '(' was never closed")


def test_a_file_in_no_known_encoding_is_told_and_not_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_bytes(b"x = '\xff\xfe'\n")
    message = error_of("net.py:build")
    assert message.startswith("net.py:1")
    assert "SyntaxError" in message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("notmodule", "'net.py:notmodule' returned int, not a torch.nn.Module"),
        ("number", "net.py:number is not callable"),
        ("biuld", "net.py has no function 'biuld'; did you mean 'build'?"),
        ("wide", "building 'net.py:wide' raised TypeError: unsupported operand type(s)"),
        ("needs", "building 'net.py:needs' raised TypeError: needs() missing 1 required"),
        ("leaves", "building 'net.py:leaves' called sys.exit(4) (at net.py:13)"),
    ],
)
def test_a_function_that_gives_no_module_says_why(write, function, message):
    path = write(
        "net.py",
        BUILD + "\ndef notmodule():\n    return 3\n\nnumber = 3\n\n"
        "def leaves():\n    import sys\n    sys.exit(4)\n\n"
        "def wide():\n    return None + 1\n\ndef needs(width):\n    return width\n",
    )
    assert error_of(f"{path}:{function}").startswith(message)


def test_a_function_that_raises_tells_the_line_in_the_users_file(write):
    path = write(
        "net.py", "import torch\n\ndef build():\n    return torch.nn.Conv2d(3, 4, 3, groups=2)\n"
    )
    message = error_of(f"{path}:build")
    assert message.startswith("building 'net.py:build' raised ValueError: in_channels must be")
    assert message.endswith("(at net.py:4)")


def test_a_file_that_does_not_exist_is_named():
    assert error_of("no/such/net.py:build") == "model file 'no/such/net.py' does not exist"


def test_a_file_imports_its_neighbours_and_leaves_the_path_as_it_was(write):
    write("neighbour_of_net.py", "WIDTH = 5\n")
    path = write(
        "net.py",
        "import torch\nfrom neighbour_of_net import WIDTH\n\n"
        "def build():\n    return torch.nn.Conv2d(3, WIDTH, 3)\n",
    )
    before = list(sys.path)
    loaded = load(f"{path}:build", shapes=((3, 8, 8),), device="meta")
    assert loaded.module(*loaded.args).shape == (1, 5, 6, 6)
    assert sys.path == before


def test_a_file_that_failed_can_be_mended_and_used_again(write):
    path = write("net.py", "raise ValueError('not yet')\n")
    assert "not yet" in error_of(f"{path}:build")
    write("net.py", "# mended, and longer than before\n" + BUILD)
    assert isinstance(build_module(resolve(f"{path}:build")), torch.nn.Conv2d)


def test_a_module_declares_its_own_input_shapes(write):
    path = write(
        "net.py",
        "import torch\n\nclass Net(torch.nn.Linear):\n    example_input_shapes = ((7,), [2, 7])\n\n"
        "    def __init__(self):\n        super().__init__(7, 1)\n",
    )
    source = resolve(f"{path}:Net")
    assert default_shapes(source, build_module(source)) == ((7,), (2, 7))


# --- a package ------------------------------------------------------------------------------------


def test_a_package_that_does_not_exist_is_no_preset_either():
    message = error_of("a_package_that_is_absent.nets:build")
    assert message == (
        "unknown model 'a_package_that_is_absent.nets:build': no module "
        "'a_package_that_is_absent' can be imported and no preset has that name; "
        "'gadprof models' lists the presets"
    )


def test_a_package_that_needs_another_is_not_called_unknown(tmp_path, monkeypatch):
    (tmp_path / "nets_that_need.py").write_text("\nimport a_module_that_is_absent\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = error_of("nets_that_need:build")
    assert message == (
        f"importing nets_that_need raised {tmp_path / 'nets_that_need.py'}:2: "
        "ModuleNotFoundError: No module named 'a_module_that_is_absent'"
    )


def test_gadprofs_own_error_out_of_a_users_function_names_the_users_line(write):
    path = write(
        "net.py",
        "from gadprof.networks.spec import parse_spec\n\ndef build():\n"
        "    return parse_spec('hrnet32:width=7x')\n",
    )
    message = error_of(f"{path}:build")
    assert message.startswith(
        "building 'net.py:build' raised SpecError: width=7x is not an integer"
    )
    assert message.endswith("(at net.py:4)")


def test_a_package_that_raises_on_import_tells_its_line(tmp_path, monkeypatch):
    (tmp_path / "nets_that_raise.py").write_text("x = 1\nraise OSError('no disk')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = error_of("nets_that_raise:build")
    assert message == (
        f"importing nets_that_raise raised {tmp_path / 'nets_that_raise.py'}:2: OSError: no disk"
    )


# --- from a shell ---------------------------------------------------------------------------------


def shell(*arguments: str, folder: Path, path: Path | None = None) -> tuple[int, str, str]:
    """Run the command line in a process of its own; its exit code, output and error output."""
    done = python("-m", "gadprof", *arguments, folder=folder, path=path)
    return done.returncode, done.stdout, done.stderr


def test_from_a_shell_a_file_that_raises_exits_2_with_one_line(tmp_path):
    (tmp_path / "net.py").write_text("x = 1\nraise RuntimeError('no weights here')\n" + BUILD)
    answer = shell("count", "net.py:build", folder=tmp_path)
    assert answer == (2, "", "gadprof: net.py:2: RuntimeError: no weights here\n")


def test_from_a_shell_a_package_that_is_absent_exits_2_and_names_the_extra(tmp_path):
    pytest.importorskip("timm")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    # every Python of this call, workers included, finds no timm
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['timm'] = None\n")
    answer = shell("count", "timm:resnet50", folder=tmp_path, path=hidden)
    told = "gadprof: 'timm:resnet50' needs timm; type: pip install 'gadprof[zoo]'\n"
    assert answer == (2, "", told)
