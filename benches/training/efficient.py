"""DeepFwFM as one would write it in PyTorch for speed: one table with sparse gradients, pairs by matrices, fused and sparse Adam."""

import torch
from torch import nn

import common


def main():
    args = common.arguments()
    torch.manual_seed(args.seed)
    features = torch.tensor(args.features)
    offsets = features.cumsum(0) - features
    table = nn.Embedding(int(features.sum()), common.EMBED_DIM, sparse=True)
    nn.init.normal_(table.weight, std=common.INIT_STD)
    terms = common.Terms(len(features))
    sparse_adam = torch.optim.SparseAdam(table.parameters(), lr=common.LEARNING_RATE)
    adam = torch.optim.Adam(terms.parameters(), lr=common.LEARNING_RATE, fused=True)

    def logits(rows):
        vectors = table(rows + offsets)
        flat = vectors.flatten(1)
        # sum_{i<j} r_ij <v_i, v_j> = tr(E^T R E) / 2; contiguous, or each product copies.
        e = vectors.transpose(1, 2).contiguous()
        second_order = (e.matmul(terms.pair_weights()) * e).sum((1, 2)) / 2
        first_order = flat.mv(terms.field_vector.flatten())
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
            deep = terms.mlp(flat)
        return terms.bias + first_order + second_order + deep.float().squeeze(1)

    def step(rows, labels):
        adam.zero_grad()
        sparse_adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(logits(rows), labels)
        loss.backward()
        adam.step()
        sparse_adam.step()
        return loss.item()

    common.run(args, step)


if __name__ == "__main__":
    main()
