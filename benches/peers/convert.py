"""Makes the other engines' files of exported models: `convert.py FOLDER ...`, each with a model.onnx and a calibration.i64.

Conversion only: nothing is timed in Python. TFLite files are made by TensorFlow's converter, which needs the graph as TensorFlow
operations; there are so few kinds of them in an exported graph that they are translated here one by one. The batch stays free.
"""

import hashlib
import logging
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

# Written last: what the files were made from.
STAMP = "converted"


def main(folders):
    for folder in map(Path, folders):
        source = folder / "model.onnx"
        stamp = hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes()).hexdigest()
        if (folder / STAMP).exists() and (folder / STAMP).read_text() == stamp:
            continue
        print(f"{folder.name}: converting", file=sys.stderr, flush=True)
        graph = onnx.load(source).graph
        num_fields = graph.input[0].type.tensor_type.shape.dim[1].dim_value
        rows = np.fromfile(folder / "calibration.i64", dtype="<i8").reshape(-1, num_fields)
        for name, convert in {
            "f32.tflite": lambda: tflite(graph, num_fields),
            "dynamic.tflite": lambda: tflite(graph, num_fields, quantize=True),
            "int8.tflite": lambda: tflite(graph, num_fields, quantize=True, rows=rows),
        }.items():
            write(folder / name, convert())
        if layers(graph):
            onnx_dynamic(source, graph, folder / "dynamic.onnx")
            onnx_static(source, graph, rows, folder / "static.onnx")
        write(folder / STAMP, stamp.encode())


def write(path, content):
    """Writes the file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def tflite(graph, num_fields, quantize=False, rows=None):
    """f32; or int8 weights; or, given rows, int8 from the table to the logit, which is then given in f32."""
    # TFLite's integers have 32 bits.
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = {name: value.astype("i4") if value.dtype == "i8" else value for name, value in constants.items()}

    @tf.function(input_signature=[tf.TensorSpec([None, num_fields], tf.int32, name="indices")])
    def model(indices):
        values = {name: tf.constant(value) for name, value in constants.items()} | {"indices": indices}
        for node in graph.node:
            operands = [values[name] for name in node.input]
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            values[node.output[0]] = operation(node, operands, attributes, constants)
        return {"logit": values["logit"]}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.get_concrete_function()])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if rows is not None:
        converter.representative_dataset = lambda: ([row[None, :].astype("i4")] for row in rows)
    return converter.convert()


def operation(node, operands, attributes, constants):
    """One node of the graph in TensorFlow's words."""
    match node.op_type, operands:
        case "Gather", (table, indices):
            return tf.gather(table, indices, axis=attributes.get("axis", 0))
        case "Add", (a, b):
            return a + b
        case "Mul", (a, b):
            return a * b
        case "Div", (a, b):
            return a // b
        case "Mod", (a, b):
            return a % b
        case "MatMul", (a, b):
            return tf.matmul(a, b)
        case "Gemm", (x, weights, biases):
            return tf.matmul(x, weights, transpose_b=True) + biases
        case "Transpose", (x,):
            return tf.transpose(x, attributes["perm"])
        case "Relu", (x,):
            return tf.nn.relu(x)
        case "Reshape", (x, _):
            return tf.reshape(x, constants[node.input[1]])
        case "ReduceSum", (x, _):
            return tf.reduce_sum(x, axis=constants[node.input[1]].tolist())
        case "Concat", parts:
            return tf.concat(parts, axis=attributes["axis"])
    sys.exit(f"convert.py: no translation of the operator {node.op_type}")


def layers(graph):
    """Names of the nodes worth quantising: the MLP's."""
    return [node.name for node in graph.node if node.op_type == "Gemm"]


def onnx_dynamic(source, graph, path):
    """int8 weights; activations are quantised when the model runs."""
    # The quantiser knows MatMul and splits Gemm into it; the second-order term's product is left alone.
    others = [node.name for node in graph.node if node.op_type == "MatMul"]
    quantize_dynamic(
        source,
        path,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=others,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def onnx_static(source, graph, rows, path):
    """int8 weights and activations with scales from calibration, as pairs of QuantizeLinear and DequantizeLinear."""
    quantize_static(
        source,
        path,
        Rows(rows),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Gemm"],
        nodes_to_quantize=layers(graph),
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        per_channel=True,
    )


class Rows(CalibrationDataReader):
    """Calibration rows in one batch."""

    def __init__(self, rows):
        self.batches = iter([{"indices": rows}])

    def get_next(self):
        return next(self.batches, None)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(sys.argv[1:])
