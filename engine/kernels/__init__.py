"""The compiled transitions and the kernels they are made of; the only folder that imports numba."""
