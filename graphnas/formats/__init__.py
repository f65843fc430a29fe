"""Published notations of architectures, read and written without loss.

NAS-Bench-101's matrices, NAS-Bench-201's strings and indices, DARTS genotypes, ENAS lists; networkx, GraphML and
PyTorch Geometric graphs. A reader refuses what its writer could not give back, with a ValueError that names the place.
"""
