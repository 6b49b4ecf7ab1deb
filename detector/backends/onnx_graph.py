"""An ONNX graph as a torch module: what convolutional detectors use, with all that is static folded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

from detector.errors import WeightsError

Attributes = Mapping[str, Any]
Operator = Callable[[Attributes, Sequence[Any]], Any]
_EXPORT = "Export the weights again with `make export`."


@dataclass(frozen=True)
class Step:
    """One node of the graph."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes


class GraphModule(nn.Module):
    """Runs an ONNX graph for one input shape.

    What follows from the weights and the shape alone (reshaped constants, shape arithmetic) is computed once,
    on construction; `forward` runs only what depends on the image. Floating constants are buffers, in `dtype`
    and channels_last; integers that steer operators stay on the CPU, so that they never make a GPU wait.

    Args:
        path: the ONNX file.
        shape: shape of its only input.
        dtype: type to compute in.

    Raises:
        WeightsError: the file is no ONNX graph of this kind, or does not accept the shape.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        try:
            graph = onnx.load(path).graph
        except Exception as error:
            raise WeightsError(f"{path}: is not readable as ONNX ({error}).", _EXPORT) from error
        steps = [_step(node) for node in graph.node]
        if unknown := {step.operator for step in steps} - set(OPERATORS):
            raise WeightsError(f"{path}: uses operators {sorted(unknown)} that are not known here.", _EXPORT)
        self._input = graph.input[0].name
        self._outputs = tuple(output.name for output in graph.output)
        self._steering: dict[str, Tensor] = {}
        self._buffer_of: dict[str, str] = {}
        self._steps = self._fold(steps, _initializers(graph), _expected(graph, shape, path), dtype)

    def _fold(
        self, steps: Sequence[Step], constants: dict[str, Tensor], image: Tensor, dtype: torch.dtype
    ) -> tuple[Step, ...]:
        """Run the graph once: what depends on the image stays as steps, the rest as constants."""
        known = dict(constants)
        values: dict[str, Tensor] = {**constants, self._input: image}
        dynamic: list[Step] = []
        for step in steps:
            results = _apply(step, values)
            values.update(results)
            if step.operator == "Shape" or all(name in known or not name for name in step.inputs):
                known.update(results)
            else:
                dynamic.append(_in_dtype(step, dtype))
        used = {name for step in dynamic for name in step.inputs}
        for name in sorted(used & set(known)):
            self._keep(name, known[name], dtype)
        return tuple(dynamic)

    def _keep(self, name: str, value: Tensor, dtype: torch.dtype) -> None:
        if not value.is_floating_point():
            self._steering[name] = value
            return
        layout = torch.channels_last if value.dim() == 4 else torch.preserve_format
        self._buffer_of[name] = f"constant_{len(self._buffer_of)}"
        self.register_buffer(self._buffer_of[name], value.to(dtype).contiguous(memory_format=layout))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Outputs of the graph by name, for an input of the shape given on construction."""
        values = {self._input: image, **self._steering}
        values.update({name: self.get_buffer(buffer) for name, buffer in self._buffer_of.items()})
        last_use = {name: number for number, step in enumerate(self._steps) for name in step.inputs}
        for number, step in enumerate(self._steps):
            values.update(_apply(step, values))
            for name in step.inputs:  # free what no later step reads
                if last_use[name] == number and name not in self._outputs:
                    values.pop(name, None)
        return {name: values[name] for name in self._outputs}


def _step(node: onnx.NodeProto) -> Step:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    for name, value in attributes.items():
        if isinstance(value, onnx.TensorProto):
            attributes[name] = torch.from_numpy(np.array(numpy_helper.to_array(value)))
        elif isinstance(value, bytes):
            attributes[name] = value.decode()
    return Step(node.op_type, tuple(node.input), tuple(node.output), attributes)


def _in_dtype(step: Step, dtype: torch.dtype) -> Step:
    """The step with casts to single precision turned into casts to `dtype`."""
    if step.operator != "Cast" or step.attributes["to"] != onnx.TensorProto.FLOAT:
        return step
    return Step(step.operator, step.inputs, step.outputs, {"dtype": dtype})


def _initializers(graph: onnx.GraphProto) -> dict[str, Tensor]:
    return {item.name: torch.from_numpy(np.array(numpy_helper.to_array(item))) for item in graph.initializer}


def _expected(graph: onnx.GraphProto, shape: tuple[int, ...], path: Path) -> Tensor:
    """A zero image of `shape`, when the graph's declared input accepts it."""
    declared = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]  # 0 where it is free
    if len(declared) != len(shape) or any(d not in (0, s) for d, s in zip(declared, shape, strict=True)):
        raise WeightsError(f"{path}: takes input of shape {declared}, not {list(shape)}.", _EXPORT)
    return torch.zeros(shape, dtype=torch.uint8)


def _apply(step: Step, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inputs = [values[name] if name else None for name in step.inputs]
    results = OPERATORS[step.operator](step.attributes, inputs)
    return dict(zip(step.outputs, results if isinstance(results, list) else [results], strict=True))


def _ints(value: Tensor | Sequence[int]) -> list[int]:
    return [int(item) for item in (value.tolist() if isinstance(value, Tensor) else value)]


def _padded(x: Tensor, pads: Sequence[int], value: float) -> Tensor:
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _conv(a: Attributes, i: Sequence[Any]) -> Tensor:
    pads = list(a.get("pads", (0, 0, 0, 0)))
    padding, x = pads[:2], i[0]
    if pads[:2] != pads[2:]:
        padding, x = [0, 0], _padded(x, pads, 0.0)
    bias = i[2] if len(i) > 2 else None
    stride, dilation = list(a.get("strides", (1, 1))), list(a.get("dilations", (1, 1)))
    return F.conv2d(x, i[1], bias, stride, padding, dilation, a.get("group", 1))


def _max_pool(a: Attributes, i: Sequence[Any]) -> Tensor:
    x = _padded(i[0], a.get("pads", (0, 0, 0, 0)), -torch.inf)
    return F.max_pool2d(x, list(a["kernel_shape"]), list(a.get("strides", (1, 1))))


def _resize(a: Attributes, i: Sequence[Any]) -> Tensor:
    """Nearest neighbour by whole factors, the only kind these networks use."""
    x = i[0]
    if len(i) > 3 and i[3] is not None and i[3].numel():
        factors = [wide / narrow for wide, narrow in zip(_ints(i[3]), x.shape, strict=True)]
    else:
        factors = i[2].tolist()
    rows, cols = round(factors[2]), round(factors[3])
    if a.get("mode") != "nearest" or [1, 1, rows, cols] != factors:
        raise WeightsError(f"The network resizes by {factors} ({a.get('mode')}), not known here.", _EXPORT)
    return F.interpolate(x, scale_factor=(rows, cols), mode="nearest")


def _slice(a: Attributes, i: Sequence[Any]) -> Tensor:
    x: Tensor = i[0]
    starts, ends = _ints(i[1]), _ints(i[2])
    axes = _ints(i[3]) if len(i) > 3 and i[3] is not None else list(range(len(starts)))
    steps = _ints(i[4]) if len(i) > 4 and i[4] is not None else [1] * len(starts)
    picks = [slice(None)] * x.dim()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        picks[axis] = slice(start, end, step)
    return x[tuple(picks)]


def _split(a: Attributes, i: Sequence[Any]) -> list[Tensor]:
    axis = a.get("axis", 0)
    sizes = _ints(i[1]) if len(i) > 1 and i[1] is not None else i[0].shape[axis] // a["num_outputs"]
    return list(torch.split(i[0], sizes, dim=axis))


def _reshape(a: Attributes, i: Sequence[Tensor]) -> Tensor:
    shape = [i[0].shape[axis] if size == 0 else size for axis, size in enumerate(_ints(i[1]))]
    return i[0].reshape(shape)


def _unsqueeze(a: Attributes, i: Sequence[Tensor]) -> Tensor:
    x = i[0]
    for axis in sorted(_ints(i[1])):
        x = x.unsqueeze(axis)
    return x


def _divide(a: Attributes, i: Sequence[Tensor]) -> Tensor:
    return i[0] / i[1] if i[0].is_floating_point() else torch.div(i[0], i[1], rounding_mode="trunc")


def _cast(a: Attributes, i: Sequence[Tensor]) -> Tensor:
    dtype = a.get("dtype")
    if dtype is None:
        dtype = torch.from_numpy(np.zeros(0, onnx.helper.tensor_dtype_to_np_dtype(a["to"]))).dtype
    return i[0].to(dtype)


OPERATORS: dict[str, Operator] = {
    "Add": lambda a, i: i[0] + i[1],
    "Cast": _cast,
    "Concat": lambda a, i: torch.cat(list(i), dim=a["axis"]),
    "Constant": lambda a, i: a["value"],
    "Conv": _conv,
    "Div": _divide,
    "Flatten": lambda a, i: i[0].flatten(a.get("axis", 1)),
    "Gather": lambda a, i: i[0][(slice(None),) * a.get("axis", 0) + (i[1],)],
    "Identity": lambda a, i: i[0],
    "MatMul": lambda a, i: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda a, i: i[0] * i[1],
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda a, i: torch.tensor(i[0].shape, dtype=torch.int64)[a.get("start", 0) : a.get("end")],
    "Sigmoid": lambda a, i: torch.sigmoid(i[0]),
    "Slice": _slice,
    "Softmax": lambda a, i: torch.softmax(i[0], dim=a.get("axis", -1)),
    "Split": _split,
    "Sub": lambda a, i: i[0] - i[1],
    "Transpose": lambda a, i: i[0].permute(list(a["perm"])),
    "Unsqueeze": _unsqueeze,
}
