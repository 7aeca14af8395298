"""Model strings: empty, overlong, malformed, out of bounds, foreign to every grammar."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.fault_cases.case import Case
from benchmarks.fault_cases.made import shown

LONG = "9" * 5000
ESCAPES = (
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp",
    "\x7f",
    "\r\n",
    "a\x08b",
    "\u2028",
)

MALFORMED = (
    "", " ", "\t", ":", "::", ":::::", "@", "@@", ",", ",,,", "=", "-", ".", "..", "/", "//", "\\",
    "~", "*", "?", "%s", "%00", "{}", "{0.__class__}", "${HOME}", "$(id)", "`id`", "; id", "| id",
    "'", '"', "\ufeff", "\u200b", "\U0001f40d", "\udcff\udcfe", "null", "None", "nan", "inf", "0",
    "1", "-1", "true", "[]", "()", "gadnet", "hrnet", "ghost", "ghost-", "-ghost", "se-hrnet32",
    "ghost-ghost-hrnet32", "hrnet-32", "hrnet32x", "xhrnet32", "hrnet 32", "h\u0072net\u200b32",
    "hrnet\u0663\u0662", "\uff48rnet32", "hrnet32.", "hrnet32/", "hrnet32#", "hrnet0", "hrnet1",
    "hrnet" + LONG, "hrnet-1", "hrnet3.2", "hrnet1e9", "gadnet0", "gadnet-32", "resnet50", "vgg16",
    "x" * 300, "x" * 4096, "x" * 4097, "x" * 100_000, "\u00e9" * 3000, ":" * 4000, "@" * 2000,
    "," * 4000, "a=" * 2000, "../" * 1000, "." * 4096, "(" * 4000, "[" * 4000,
)  # fmt: skip

# what follows the colon of gadnet32
OVERRIDES = (
    "", ":", "=", "s", "s=", "=4", "s==4", "s=4,", ",s=4", "s=4,,d=5", "s=4;d=5", "s=4 d=5", "s:4",
    "s=0", "s=-1", "s=1.5", "s=1e3", "s=nan", "s=inf", "s=0x4", "s=0b1", "s=1_0", "s=\u0664",
    "s=\uff14", "s=+4", "s= 4 x", "s=four", "s=true", "s=None", "s=[4]", "s=4-4", "s=4,s=5",
    "S=4", "q=4", "ss=4", "s=\u2074", f"s={LONG}", f"s=-{LONG}", "s=99999999999999999999",
    "s=9223372036854775807", "s=9223372036854775808", "s=4294967296", "d=0", "d=2", "d=-3",
    "d=999999999", f"d={LONG}", "r=0", "r=-8", "r=999999999999", f"r={LONG}", "width=0",
    "width=-8", "width=1", "width=7", "width=1e300", f"width={LONG}", "width=99999999999999999999",
    "blocks=0", "blocks=-1", "blocks=1-2", "blocks=1-2-3-4-5", "blocks=0-0-0-0", "blocks=-1-1-1-1",
    "blocks=999999999", "blocks=999999999-1-1-1", "blocks=1-1-1-99999999999", "blocks=----",
    "blocks=a-b-c-d", f"blocks={LONG}-1-1-1", "blocks=" + "-".join("1" * 2000), "modules=0-0-0",
    "modules=1-1000000-3", "modules=1-1-1000000000", "modules=-1-4-3", f"modules={LONG}-1-1",
    "modules=1", "modules=1-4-3-1-1", "joints=0", "joints=-17", "joints=99999999999999999999",
    f"joints={LONG}", "block=", "block=nothing", "block=\x1b[31m", "block=os.system", "block=1",
    "__class__=1", "__init__=1", "name=x", "preset=hrnet32", "family=x", "k=3", "stem=0",
    "s=4,d=5,r=8,blocks=3-3-6-6,width=0", "s=4\n", "\ns=4", "s=4\x00", "s=4\x1b]0;x\x07",
    "width=8,blocks=1-1-1-1,modules=1-1-1,s=99999", "a" * 3000 + "=1", "s=" + "1," * 1500,
    "input=3x8x8", "batch=2", "weights=x.pt", "s=4@", "s=4@3x8x8", "s=4@3x0x0", "s=4@-1",
)  # fmt: skip

SOURCES = (
    "timm:", "timm: ", "timm::", "timm:nothing", "timm:../etc/passwd", "timm:resnet50,",
    "timm:resnet50,x", "timm:resnet50,=1", "timm:resnet50,nothing=1", "timm:resnet50,num_classes=",
    "timm:resnet50,num_classes=-1", "timm:resnet50,num_classes=9" + "9" * 30,
    "timm:resnet50,num_classes=1,num_classes=2", "timm:resnet50,num_classes=__import__('os')",
    "timm:resnet50,num_classes=" + "(" * 500, "timm:hf_hub:nobody/nothing", "timm:\x1b[2J",
    "timm:" + "x" * 3000, "timm:resnet50:build", "timm:resnet50.py:build", "timm:os.system",
    "torchvision:", "torchvision:nothing", "torchvision:get_model", "torchvision:os",
    "torchvision:resnet18,weights=DEFAULT2", "torchvision:ResNet", "torchvision:__name__",
    "torchvision:list_models", "torchvision:\u202eten", "transformers:", "transformers:nothing",
    "transformers:../../x", "transformers:os.system", "ultralytics:", "ultralytics:nothing",
    "ultralytics:/etc/passwd", "nothing.yaml", "/etc/passwd.yaml", "trust:", "trust:trust:x.pt",
    "trust:hrnet32", "trust:x.onnx", "trust:nothing.pt", "nothing.pt", "nothing.pth", "nothing.pt2",
    "nothing.ts", "nothing.pkl", "nothing.onnx", "nothing.tflite", ".onnx", ".tflite", ".pt", ".py",
    "nothing.py", "nothing.py:", "nothing.py:build", "nothing.py:build:more", "nothing.py:1",
    "nothing.py:build()", "nothing.py:__import__('os')", "/dev/null.py:build", "/dev/zero.onnx",
    "/proc/self/mem.onnx", "..:build", "nothing.nothing:build", "os:system", "os:nothing",
    "builtins:exec", "builtins:eval", "subprocess:Popen", "sys:exit", "antigravity:x", "this:s",
    "torch.nn:nothing", "torch.nn:Linear", "torch:tensor", "a.b.c.d.e.f.g:h", "1a:b", "a-b:c",
    "a..b:c", ".a:b", "a.:b", "__main__:x", "gadprof.cli:main", "gadprof:count", "json:loads",
    "x" * 2000 + ".py:build", "x" * 2000 + ".onnx", "x" * 2000 + ":build", "file.py:build,",
    "http://127.0.0.1/x.onnx", "https://localhost:1/x.pt", "file:///etc/passwd", "s3://a/b.onnx",
    "\\\\host\\x.onnx", "C:\\x.onnx", "x.onnx/", "x.onnx:build", "x.onnx,a=1", "hrnet32.onnx",
)  # fmt: skip


def cases() -> Iterator[Case]:
    """Each string before the commands that read one."""
    for number, text in enumerate((*MALFORMED, *ESCAPES)):
        for words in (("count",), ("compare", "hrnet32"), ("shapes",), ("models", "--knobs")):
            # a row that fails costs the others nothing: the table stands, the code says so
            yield Case(f"{' '.join(words)} malformed {number} {shown(text, 60)}", (*words, "--", text)
                       if words[0] != "models" else (*words, text), lines=2)  # fmt: skip
    for number, text in enumerate(OVERRIDES):
        for words in (("count",), ("compare",)):
            yield Case(f"{words[0]} override {number} {shown(text, 60)}",
                       (*words, f"gadnet32:{text}"), exits=_exits(text), lines=2)  # fmt: skip
    for number, text in enumerate(SOURCES):
        # timm leaves the classifier out where there are fewer classes than one
        exits = (0, 1, 2) if text.endswith("num_classes=-1") else (1, 2)
        yield Case(f"count source {number} {shown(text, 60)}", ("count", "--", text), exits=exits,
                   lines=2)  # fmt: skip
        if number % 12 == 0:  # each of timm's takes seconds
            yield Case(f"predict source {number} {shown(text, 60)}",
                       ("predict", "--device", "rtx3090", "--", text), exits=(1, 2), lines=4)  # fmt: skip


def _exits(text: str) -> tuple[int, ...]:
    """Some overrides are allowed; the others are bad use."""
    return (0,) if text in ALLOWED else (2,)


# empty parts, spaces, other scripts' digits; any width; a list of one for all; a large ratio
ALLOWED = (
    "s=+4", "s=4,", ",s=4", "s=4,,d=5", "s=4 d=5", "s=\u0664", "s=\uff14", "q=4", "k=3", "width=1",
    "width=7", "modules=1", "s=4\n", "\ns=4", "width=8,blocks=1-1-1-1,modules=1-1-1,s=99999",
)  # fmt: skip
