"""GADNet's paper, judged: its tables, equations and figures beside the reconstruction's."""
