"""Make soft targets for training: `python -m jobs.teach --config … --set train.targets=soft`."""

from pipeline.entry import main
from pipeline.teach import run

if __name__ == "__main__":
    main("Blend the support's labels with what classical models say of unseen rows (train.targets: soft).", run)
