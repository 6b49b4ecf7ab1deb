"""One of several processes of a training, which keeps its weights; takes the arguments of `training.train`."""

import os
from pathlib import Path

import typer

from training.train import main


def keep_weights() -> None:
    """Make every process write its parameters when the training ends, to `weights/rank<R>.pt`."""
    import torch  # noqa: PLC0415 - after the environment is set
    from ultralytics.utils.torch_utils import unwrap_model  # noqa: PLC0415

    from training.fitting.trainer import RailcarTrainer  # noqa: PLC0415

    stock = RailcarTrainer.final_eval

    def final_eval(self: RailcarTrainer) -> None:
        path = Path(self.save_dir) / "weights" / f"rank{os.environ['RANK']}.pt"
        torch.save(dict(unwrap_model(self.model).named_parameters()), path)
        stock(self)

    RailcarTrainer.final_eval = final_eval  # type: ignore[method-assign]


if __name__ == "__main__":
    from training.fitting.offline import go_offline

    go_offline(Path(__file__).parents[3] / "build" / "ultralytics" / os.environ["RANK"])
    keep_weights()
    typer.run(main)
