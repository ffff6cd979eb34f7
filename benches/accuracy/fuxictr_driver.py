"""FuxiCTR's layers, L2 and training loop on our rows. Its wheel has the models for sequences only; here its layers are put together as the
papers say: DeepFM (arXiv:1703.04247), FwFM (arXiv:1806.03514), DCNv2 (arXiv:2008.13535), FinalMLP (arXiv:2304.00902, without its gates)."""

import tempfile
from collections import OrderedDict

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import (
    CrossNetV2,
    FactorizationMachine,
    FeatureEmbedding,
    InnerProductInteraction,
    LogisticRegression,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from model_zoo.LongCTR.FinalMLP.FinalMLP import InteractionAggregation
from torch import nn

import rows

EMBED_DIM = 16
HIDDEN = [400, 400]
DROPOUT = 0.2
CROSS_LAYERS = 3
LEARNING_RATE = 1e-3
BATCH = 4096
PATIENCE = 2


class Model(BaseModel):
    """The library's training loop around a logit of embeddings."""

    def __init__(self, features, parts, l2, folder):
        super().__init__(
            features,
            model_id="model",
            monitor="AUC",
            early_stop_patience=PATIENCE,
            embedding_regularizer=l2,
            metrics=["AUC", "logloss"],
            model_root=folder,
            verbose=0,
        )
        self.embedding = FeatureEmbedding(features, EMBED_DIM)
        self.parts = parts(features)
        self.compile("adam", "binary_crossentropy", LEARNING_RATE)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        logits = self.parts(x, self.embedding(x))
        return {"y_pred": self.output_activation(logits)}


def mlp(inputs, outputs):
    return MLP_Block(inputs, hidden_units=HIDDEN, output_dim=outputs, dropout_rates=DROPOUT, batch_norm=True)


class DeepFM(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fm = FactorizationMachine(features)
        self.mlp = mlp(features.sum_emb_out_dim(), 1)

    def forward(self, x, e):
        return self.fm(x, e) + self.mlp(e.flatten(1))


class FwFM(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.pairs = InnerProductInteraction(features.num_fields, output="inner_product")
        self.weights = nn.Linear(self.pairs.interaction_units, 1)
        self.first_order = LogisticRegression(features, use_bias=False)

    def forward(self, x, e):
        return self.weights(self.pairs(e)) + self.first_order(x)


class DCNv2(nn.Module):
    def __init__(self, features):
        super().__init__()
        width = features.sum_emb_out_dim()
        self.cross = CrossNetV2(width, CROSS_LAYERS)
        self.mlp = mlp(width, None)
        self.last = nn.Linear(width + HIDDEN[-1], 1)

    def forward(self, x, e):
        flat = e.flatten(1)
        return self.last(torch.cat([self.cross(flat), self.mlp(flat)], 1))


class FinalMLP(nn.Module):
    def __init__(self, features):
        super().__init__()
        width = features.sum_emb_out_dim()
        self.towers = nn.ModuleList([mlp(width, None), mlp(width, None)])
        self.fusion = InteractionAggregation(HIDDEN[-1], HIDDEN[-1], output_dim=1, num_heads=1)

    def forward(self, x, e):
        flat = e.flatten(1)
        return self.fusion(*[tower(flat) for tower in self.towers])


MODELS = {"DeepFM": DeepFM, "FwFM": FwFM, "DCNv2": DCNv2, "FinalMLP": FinalMLP}


def feature_map(data, folder):
    features = FeatureMap("rows", folder)
    for field in data.fields:
        # Bags have one index more: 0 is where they have ended.
        spec = {"source": "", "type": "categorical", "vocab_size": field.size, "padding_idx": None}
        if field.is_bag:
            longest = max(values.shape[1] for values in field.columns.values())
            spec |= {"type": "sequence", "max_len": longest, "padding_idx": 0}
            spec |= {"feature_encoder": "layers.MaskedAveragePooling()"}
        features.features[field.name] = OrderedDict(spec)
    features.default_emb_dim = EMBED_DIM
    features.labels = ["label"]
    features.num_fields = features.get_num_fields()
    features.total_features = sum(field.size for field in data.fields)
    features.input_length = len(data.fields)
    features.set_column_index()
    return features


class Batches:
    """Batches of a part as the library wants them; those of training in another order each time."""

    def __init__(self, data, part, shuffled):
        self.columns = {field.name: torch.from_numpy(field.columns[part]) for field in data.fields}
        self.columns["label"] = torch.tensor(data.labels[part], dtype=torch.float32)
        self.shuffled = shuffled

    def __len__(self):
        return -(-len(self.columns["label"]) // BATCH)

    def __iter__(self):
        count = len(self.columns["label"])
        order = torch.randperm(count) if self.shuffled else torch.arange(count)
        for chosen in order.split(BATCH):
            yield {name: values[chosen] for name, values in self.columns.items()}


def trained(args, data):
    """What the library's training keeps: the epoch with the best validation AUC."""
    torch.set_num_threads(args.threads)
    seed_everything(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        (rows.Path(folder) / "rows").mkdir()
        model = Model(feature_map(data, folder), MODELS[args.model], args.l2, folder)
        train, valid = Batches(data, "train", True), Batches(data, "valid", False)
        model.fit(train, epochs=args.epochs, validation_data=valid)
    return model


def logits(model, data, part):
    return rows.logits_of(model.predict(Batches(data, part, False)))


def main():
    args = rows.arguments(MODELS)
    data = rows.read(args.data)
    model = trained(args, data)
    rows.write(args.out, {part: logits(model, data, part) for part in ["valid", "test"]})


if __name__ == "__main__":
    main()
