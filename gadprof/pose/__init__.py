"""The paper's method on COCO keypoints: train, evaluate, look, and measure redundancy.

Needs the extra ``gadprof[pose]``; nothing outside this package and its commands imports it.
"""
