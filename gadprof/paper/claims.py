"""Every number that GADNet's text states, as data: where it stands, what it says, its kind.

Promises completeness over the running text, years and citation numbers aside; ``verdicts`` says
what becomes of each. The tables' cells and the equations' bodies are not part of the text that
could be read, so no figure of theirs is here. Judges nothing.

Source: Liu, Zhou, Zhang, Wang, "Ghost attentional down net", J. Intell. Fuzzy Syst. 46, 2024,
doi 10.3233/JIFS-233501.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SOURCE = "Liu et al., Ghost attentional down network, J. Intell. Fuzzy Syst. 46, 2024"

ClaimKind = Literal["efficiency", "inverse", "ghost", "accuracy", "structure", "setting", "words"]


@dataclass(frozen=True)
class PaperClaim:
    """A number of the text: ``value`` in ``unit``; ``says`` is what it is stated of, in our words.

    ``kind``: ``efficiency`` (a reduction against HRNet32), ``inverse`` (the same written as an
    increase), ``ghost`` (against HRNet32 with GhostBlocks), ``accuracy``, ``structure`` (of the
    network), ``setting`` (of data and training), ``words`` (a size named without a figure).
    """

    key: str
    where: str
    says: str
    value: float | None
    unit: str
    kind: ClaimKind


CLAIMS: tuple[PaperClaim, ...] = (
    PaperClaim(
        "params", "abstract", "GADNet has this much fewer parameters than HRNet", 60.7, "%",
        "efficiency",
    ),
    PaperClaim(
        "macs", "abstract", "GADNet has this much less computational complexity than HRNet", 61.2,
        "%", "efficiency",
    ),
    PaperClaim(
        "params-154", "results", "GADNet32's parameters are reduced by this against HRNet32",
        154, "%", "inverse",
    ),
    PaperClaim(
        "macs-158", "results", "GADNet32's operations are reduced by this against HRNet32", 158,
        "%", "inverse",
    ),
    PaperClaim(
        "ghost-136", "ablation",
        "GADNet's parameters are reduced by this against HRNet with GhostBlock", 136, "%", "ghost",
    ),
    PaperClaim(
        "ghost-84", "ablation",
        "GADNet's complexity is lowered by this against HRNet with GhostBlock", 84, "%", "ghost",
    ),
    PaperClaim("ap50", "results", "GADNet32's AP50 above HRNet32's", 2, "%", "accuracy"),
    PaperClaim(
        "map", "ablation", "GADNet's mAP above that of HRNet with GhostBlock", 7.3, "%",
        "accuracy",
    ),
    PaperClaim(
        "width-32", "method", "base channels of the first variant", 32, "channels", "structure",
    ),
    PaperClaim(
        "width-48", "method", "base channels of the second variant", 48, "channels", "structure",
    ),
    PaperClaim("branches", "method", "branches of the ADModule", 4, "branches", "structure"),
    PaperClaim(
        "doubling", "method", "channels of a branch over those of the branch above", 2, "×",
        "structure",
    ),
    PaperClaim(
        "blocks-1", "method", "GaBlocks of branch 2 over those of branch 1", 1, "×", "structure"
    ),
    PaperClaim(
        "blocks-2", "method", "GaBlocks of branch 3 over those of branch 2", 2, "×", "structure"
    ),
    PaperClaim(
        "blocks-3", "method", "GaBlocks of branch 4 over those of branch 3", 1, "×", "structure"
    ),
    PaperClaim("reduction", "method", "reduction of squeeze and excitation", 16, "×", "structure"),
    PaperClaim("stem", "method", "3×3 convolutions of the stem", 2, "convolutions", "structure"),
    PaperClaim(
        "quarter", "method", "resolution after the stem, of the input's", 0.25, "×", "structure",
    ),
    PaperClaim("bottlenecks", "method", "Bottlenecks of stage 1", 3, "blocks", "structure"),
    PaperClaim("keypoints", "data", "keypoints of a person", 17, "keypoints", "structure"),
    PaperClaim("train-images", "data", "COCO training images", 118287, "images", "setting"),
    PaperClaim("val-images", "data", "COCO validation images", 5000, "images", "setting"),
    PaperClaim("test-images", "data", "COCO test images", 2000, "images", "setting"),
    PaperClaim("thresholds", "data", "OKS thresholds of mAP", 10, "thresholds", "setting"),
    PaperClaim(
        "oks-first", "data", "first OKS threshold of mAP, and that of AP50", 0.5, "", "setting",
    ),
    PaperClaim("oks-last", "data", "last OKS threshold of mAP", 0.95, "", "setting"),
    PaperClaim("oks-step", "data", "step of the OKS thresholds", 0.05, "", "setting"),
    PaperClaim("ap75", "data", "OKS threshold of AP75", 0.75, "", "setting"),
    PaperClaim("height", "training", "height of the input", 256, "pixels", "setting"),
    PaperClaim("width", "training", "width of the input", 192, "pixels", "setting"),
    PaperClaim("lr", "training", "first learning rate of AdamW", 1e-3, "", "setting"),
    PaperClaim("lr-late", "training", "learning rate after the decay", 1e-4, "", "setting"),
    PaperClaim("decay-epoch", "training", "epoch of the decay", 170, "epochs", "setting"),
    PaperClaim("epochs", "training", "epochs of training", 260, "epochs", "setting"),
    PaperClaim("batch", "training", "batch size", 48, "persons", "setting"),
    PaperClaim("gpu-memory", "training", "memory of the GeForce RTX 3080", 12, "GB", "setting"),
    PaperClaim(
        "attention", "method",
        "attention's share of GADNet's parameters and complexity is called negligible",
        None, "%", "words",
    ),
    PaperClaim(
        "downsampling", "method",
        "down-sampling's share of HRNet's parameters is called significant", None, "%", "words",
    ),
)  # fmt: skip


def claim(key: str) -> PaperClaim:
    """The claim of a key. Raises KeyError."""
    for item in CLAIMS:
        if item.key == key:
            return item
    raise KeyError(key)


def value_of(key: str) -> float:
    """A claim's figure. Raises KeyError for an unknown key or a claim in words."""
    value = claim(key).value
    if value is None:
        raise KeyError(key)
    return value
