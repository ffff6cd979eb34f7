"""What the loops have in common: the rows, the layers, the clock. Equations are those of DeepFwFM (Deng et al. 2021, arXiv:2002.06987)."""

import argparse
import json
import time

import torch
from torch import nn

EMBED_DIM = 10
HIDDEN = [400, 400, 400]
INIT_STD = 0.01
LEARNING_RATE = 1e-3


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True, help="u32 [rows, fields], as it lies in memory")
    parser.add_argument("--labels", required=True, help="u8 [rows]")
    parser.add_argument("--features", required=True, type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--batch-size", required=True, type=int)
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--bfloat16", action="store_true")
    return parser.parse_args()


def batches(args):
    """All rows in memory, batches in the order of the file: what a loop costs that reads its data for nothing."""
    def numbers(path, dtype):
        with open(path, "rb") as file:
            return torch.frombuffer(bytearray(file.read()), dtype=dtype)

    rows = numbers(args.rows, torch.int32).long().view(-1, len(args.features))
    labels = numbers(args.labels, torch.uint8).float()
    return list(zip(rows.split(args.batch_size), labels.split(args.batch_size)))


def layers(inputs):
    sizes = [inputs, *HIDDEN]
    hidden = [(nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()) for i, o in zip(sizes, HIDDEN)]
    return nn.Sequential(*[layer for block in hidden for layer in block], nn.Linear(sizes[-1], 1))


class Terms(nn.Module):
    """What is not a table: the bias, a vector for each field, a weight for each pair of fields, the layers."""

    def __init__(self, num_fields):
        super().__init__()
        bound = (3 / num_fields) ** 0.5
        self.bias = nn.Parameter(torch.zeros(1))
        self.field_vector = nn.Parameter(torch.randn(num_fields, EMBED_DIM) * INIT_STD)
        self.field_matrix = nn.Parameter((torch.rand(num_fields, num_fields) * 2 - 1) * bound)
        self.mlp = layers(num_fields * EMBED_DIM)

    def pair_weights(self):
        """r = (W + W^T) / 2 with a diagonal of zeros."""
        r = (self.field_matrix + self.field_matrix.t()) / 2
        return r * (1 - torch.eye(len(r)))


def run(args, step):
    """Two passes over the rows. The first gives the mean loss, the second is timed: all memory has been used by then.

    In the second pass models know rows by heart, dense Adam better than sparse: its loss compares nothing.
    """
    data = batches(args)
    torch.set_num_threads(args.threads)
    losses = [step(*batch) for batch in data]
    start = time.perf_counter()
    for batch in data:
        step(*batch)
    seconds = time.perf_counter() - start
    rows = sum(len(labels) for _, labels in data)
    print(json.dumps({"loss": sum(losses) / len(losses), "rows_per_second": rows / seconds}))
