"""A plain network as an ONNX model, without its dead units, and as ONNX Runtime runs it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.deploy.compact import compact, removed
from lt_sweeps.deploy.form import Form, readme
from lt_sweeps.errors import Mistake
from lt_sweeps.training.sparse.chain import Unfit

OPSET, IR = 17, 8  # of 2022: what runtimes of today read
LINES = """import onnxruntime

session = onnxruntime.InferenceSession("deploy.onnx", providers=["CPUExecutionProvider"])


def network(x):
    \"\"\"Logits of a float32 numpy array of examples.\"\"\"
    return session.run(None, {"x": x})[0]"""


def is_here() -> bool:
    """Whether onnx and onnxruntime are installed."""
    return find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def forms(network: nn.Module, x: Tensor) -> list[Form]:
    """The network without its dead units, by ONNX Runtime. Raises Unfit unless it is a plain sequence."""
    if not is_here():
        raise Mistake("ticket export --for onnx: needs onnx and onnxruntime: pip install 'lt_sweeps[onnx]'")
    if not isinstance(network, nn.Sequential):
        raise Unfit("only plain sequences of layers are written as ONNX")
    small = compact(network, x)
    assert isinstance(small, nn.Sequential)
    content = model(small, x)

    def files() -> dict[str, bytes]:
        return {"deploy.onnx": content, **readme("ONNX", LINES)}

    return [Form("onnx", running(content), len(content), files, removed(network, small, x))]


def running(content: bytes) -> Callable[[Tensor], Tensor]:
    """A function that runs a model on the CPU by as many threads as torch has now."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def model(network: nn.Sequential, x: Tensor) -> bytes:
    """The ONNX model of a plain network; batches have any number of examples of the shape of those of x."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, value = list[Any](), list[Any](), "x"
    for place, layer in enumerate(network):
        operation, attributes, tensors = _operation(layer)
        names = [f"{place}.{name}" for name in tensors]
        weights += [numpy_helper.from_array(t.numpy(), n) for n, t in zip(names, tensors.values(), strict=True)]
        out = "logits" if place == len(network) - 1 else f"{place}"
        nodes.append(helper.make_node(operation, [value, *names], [out], **attributes))
        value = out
    classes = network(x[:1]).shape[1:]
    shapes = {"x": ["examples", *x.shape[1:]], "logits": ["examples", *classes]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "ticket", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=IR).SerializeToString()
    return content


def _operation(layer: nn.Module) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The ONNX operation of a layer, its attributes, and its tensors in the order of its inputs."""
    tensors = {name: value.detach() for name, value in layer.state_dict().items()}
    match layer:
        case nn.Linear():
            return "Gemm", {"transB": 1}, tensors
        case nn.Conv2d():
            return "Conv", {**_window(layer, layer.dilation), "pads": [*layer.padding, *layer.padding]}, tensors
        case nn.MaxPool2d():
            return "MaxPool", _window(layer, layer.dilation), tensors
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            ones = torch.ones(layer.num_features)
            scaled = {"weight": tensors.get("weight", ones), "bias": tensors.get("bias", 0 * ones)}
            moments = {name: tensors[name] for name in ("running_mean", "running_var")}
            return "BatchNormalization", {"epsilon": layer.eps}, {**scaled, **moments}
        case nn.AdaptiveAvgPool2d():
            return "GlobalAveragePool", {}, tensors
        case nn.Flatten():
            return "Flatten", {"axis": 1}, tensors
    return "Relu", {}, tensors


def _window(layer: nn.Conv2d | nn.MaxPool2d, dilation: Any) -> dict[str, list[int]]:
    return {"kernel_shape": _pair(layer.kernel_size), "strides": _pair(layer.stride), "dilations": _pair(dilation)}


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
