"""RecBole's models for contexts on our rows. Its trainer wants its own files of interactions; so the loop is here: Adam, L2 of the tables as
Adam's weight decay (as RecBole's own `weight_decay` is), the epoch with the best AUC on the validation rows."""

import copy

import torch
from recbole.data.interaction import Interaction
from recbole.model import context_aware_recommender
from recbole.utils import FeatureSource, FeatureType
from sklearn.metrics import roc_auc_score

import rows

MODELS = ["DeepFM", "FM", "LR", "NFM", "AutoInt", "DCN", "xDeepFM", "WideDeep"]
LEARNING_RATE = 1e-3
BATCH = 4096
PATIENCE = 2

# Of each model's own file of settings, what the models above ask for.
SETTINGS = {
    "LABEL_FIELD": "label",
    "embedding_size": 16,
    "device": torch.device("cpu"),
    "double_tower": None,
    "numerical_features": [],
    "mlp_hidden_size": [400, 400],
    "dropout_prob": 0.2,
    "attention_size": 16,
    "n_layers": 3,
    "num_heads": 2,
    "dropout_probs": [0.2, 0.2, 0.2],
    "cross_layer_num": 3,
    "reg_weight": 0.0,
    "direct": False,
    "cin_layer_size": [100, 100, 100],
}


class Settings(dict):
    """The library asks for settings that a model may lack."""

    def __missing__(self, key):
        return None


class Fields:
    """As much of the library's data set as its models ask for."""

    def __init__(self, data):
        kinds = {True: FeatureType.TOKEN_SEQ, False: FeatureType.TOKEN}
        self.sizes = {field.name: field.size for field in data.fields}
        self.field2type = {field.name: kinds[field.is_bag] for field in data.fields}
        self.field2source = {field.name: FeatureSource.INTERACTION for field in data.fields}

    def fields(self, ftype=None, source=None):
        return list(self.sizes)

    def num(self, field):
        return self.sizes[field]


def batches(data, part, shuffled):
    columns = {field.name: torch.from_numpy(field.columns[part]) for field in data.fields}
    columns["label"] = torch.tensor(data.labels[part], dtype=torch.float32)
    count = len(columns["label"])
    order = torch.randperm(count) if shuffled else torch.arange(count)
    return [Interaction({name: values[chosen] for name, values in columns.items()}) for chosen in order.split(BATCH)]


def logits(model, data, part):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in batches(data, part, False)]).double().numpy()


def main():
    args = rows.arguments(MODELS)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = rows.read(args.data)
    model = getattr(context_aware_recommender, args.model)(Settings(SETTINGS), Fields(data))
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    others = [p for p in model.parameters() if all(p is not table for table in tables)]
    groups = [{"params": tables, "weight_decay": args.l2}, {"params": others}]
    optimizer = torch.optim.Adam(groups, lr=LEARNING_RATE)
    best, kept, without = 0.0, None, 0
    for _ in range(args.epochs):
        model.train()
        for batch in batches(data, "train", True):
            optimizer.zero_grad()
            model.calculate_loss(batch).backward()
            optimizer.step()
        auc = roc_auc_score(data.labels["valid"], logits(model, data, "valid"))
        if auc > best:
            best, kept, without = auc, copy.deepcopy(model.state_dict()), 0
        else:
            without += 1
        if without == PATIENCE:
            break
    model.load_state_dict(kept)
    rows.write(args.out, {part: logits(model, data, part) for part in ["valid", "test"]})


if __name__ == "__main__":
    main()
