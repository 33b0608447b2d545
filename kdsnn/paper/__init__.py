"""The tables of the paper (Xu et al., CVPR 2023), its figures beside ours."""
