"""What an interrupted training needs to go on where it stopped."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn, optim

from common.errors import InputError, UnavailableError

IDENTITY = "identity"


class Checkpoints:
    """Finished parts of a training, kept in a folder; without a folder nothing is kept.

    Parameters
    ----------
    folder : Path or None
        Created when something is saved.
    identity : str
        Hash of all that decides the result: parts of another training are refused.
    """

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._folder, self._identity = folder, identity

    def load(self, part: str) -> dict[str, Tensor] | None:
        """Return what was saved under this name, or None."""
        path = self._path(part)
        if path is None or not path.exists():
            return None
        try:
            tensors = load_tensors(path.read_bytes())
        except (OSError, SafetensorError) as exc:
            raise InputError(
                f"{path} cannot be read ({exc}): remove {path.parent} to train from the beginning"
            ) from exc
        if not torch.equal(tensors.pop(IDENTITY, _letters("")), _letters(self._identity)):
            raise InputError(
                f"{path.parent} holds an interrupted training with other data or settings: repeat "
                "its command to finish it, remove the folder, or give another --out"
            )
        return tensors

    def save(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Save tensors under a name; the file is whole or not there."""
        path = self._path(part)
        if path is None:
            return
        content = save_tensors(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
            | {IDENTITY: _letters(self._identity)}
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as exc:
            raise UnavailableError(
                f"{path} cannot be written ({exc.strerror}): make room and repeat the command; it "
                "goes on from the last part that was saved"
            ) from exc

    def _path(self, part: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{part}.safetensors"


def _letters(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def state_of(model: nn.Module, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """Return by name the weights of a model and the state of its optimizer of one group."""
    moments = {
        f"optimizer/{index}/{name}": tensor
        for index, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }
    group = optimizer.param_groups[0]
    return {
        **{f"model/{name}": tensor for name, tensor in model.state_dict().items()},
        **moments,
        "rates": torch.tensor([group["lr"], *group["betas"]], dtype=torch.float64),
    }


def restore(model: nn.Module, optimizer: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `state_of` returned."""
    weights, moments = {}, dict[int, dict[str, Tensor]]()
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "model":
            weights[name] = tensor
        elif kind == "optimizer":
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = tensor
    model.load_state_dict(weights)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    group = optimizer.param_groups[0]
    group["lr"], *betas = tensors["rates"].tolist()
    group["betas"] = tuple(betas)
