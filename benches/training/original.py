"""DeepFwFM term by term, as the paper writes it: a table for each field, all products of two fields' vectors, Adam on everything."""

import torch
from torch import nn

import common


class DeepFwFM(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, common.EMBED_DIM) for n in features)
        for table in self.tables:
            nn.init.normal_(table.weight, std=common.INIT_STD)
        self.terms = common.Terms(len(features))

    def forward(self, rows):
        vectors = torch.stack([table(rows[:, f]) for f, table in enumerate(self.tables)], 1)
        first_order = (vectors * self.terms.field_vector).sum((1, 2))
        # [n, fields, fields, embed_dim]; each pair is there twice.
        products = vectors.unsqueeze(1) * vectors.unsqueeze(2)
        second_order = (products.sum(3) * self.terms.pair_weights()).sum((1, 2)) / 2
        return self.terms.bias + first_order + second_order + self.terms.mlp(vectors.flatten(1)).squeeze(1)


def main():
    args = common.arguments()
    torch.manual_seed(args.seed)
    model = DeepFwFM(args.features)
    adam = torch.optim.Adam(model.parameters(), lr=common.LEARNING_RATE)

    def step(rows, labels):
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(rows), labels)
        loss.backward()
        adam.step()
        return loss.item()

    common.run(args, step)


if __name__ == "__main__":
    main()
