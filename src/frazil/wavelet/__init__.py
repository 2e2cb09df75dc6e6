"""The wavelet coder of planes of whole numbers: CDF 9/7 in integers, and codes for points that miss."""
