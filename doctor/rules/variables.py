"""Rules about environment variables and Jupyter kernels that lead a run astray."""
