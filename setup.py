"""The packages jobs, pipeline and models: `pip install -c constraints.txt -e .`, or `make package` for spark-submit.

Only what must be held is pinned here (why: docs/decisions/0001-pinned-stack.md); `make lock` resolves the whole set
into constraints.txt. Horovod is not listed, as it has to be built: docker/build_horovod_wheel.sh.
"""

from setuptools import find_packages, setup

setup(
    name="metacon",
    version="0.1.0",
    description="Segment predictions from heterogeneous events: one meta-learned model for all segments",
    packages=find_packages(include=["jobs*", "pipeline*", "models*"]),
    package_data={"": ["*.html", "*.css", "*.js", "*.properties"]},
    python_requires=">=3.11,<3.12",
    install_requires=[
        "torch==2.12.1",
        "pyspark==4.0.5",
        "delta-spark==4.0.1",
        "pyarrow==14.0.2",
        "pandas==2.2.3",
        "numpy==1.26.4",
        "petastorm==0.13.1",
        "setuptools<70",
        "fsspec",
        "jinja2",
        "lightgbm",
        "matplotlib",
        "optuna",
        "packaging",
        "pydantic",
        "pyyaml",
        "rdflib",
        "safetensors",
        "scikit-learn",
        "scipy",
        "tqdm",
    ],
    extras_require={
        # what the Horovod wheel is built with, and needs
        "horovod": ["cffi", "cloudpickle", "psutil", "pyyaml", "packaging", "wheel"],
        "dev": [
            "duckdb",
            "hypothesis",
            "mypy",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "types-PyYAML",
            "uv",
        ],
    },
)
