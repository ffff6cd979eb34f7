"""LightGBM on our rows: tokens that are numbers as numbers, others as categories, a bag as a column for each of its tokens.

Its few settings stand in the models' names: leaves and the learning rate. `--l2` is its own `lambda_l2`, of the leaves."""

import lightgbm
import numpy as np

import rows

MODELS = {f"leaves-{leaves}-rate-{rate}": (leaves, rate) for leaves in [15, 31, 63] for rate in [0.03, 0.1]}
PATIENCE = 50
ROUNDS_PER_EPOCH = 100


def number(token):
    try:
        return float(token)
    except ValueError:
        return None


def columns(field, part):
    values = field.columns[part]
    if field.is_bag:
        return [(values == index).any(1).astype("f8") for index in range(1, field.size)], False
    numbers = [number(token) for token in field.tokens]
    # Index 0 is of values that training has not, or hardly; nothing is known of them.
    if len(numbers) > 2 and None not in numbers:
        known = np.array([np.nan, *numbers])
        return [known[np.minimum(values, len(numbers))]], False
    return [values.astype("f8")], True


def main():
    args = rows.arguments(MODELS)
    data = rows.read(args.data)
    matrices, categories = {}, []
    for part in rows.PARTS:
        found, categories = [], []
        for field in data.fields:
            of_field, is_category = columns(field, part)
            categories += range(len(found), len(found) + 1) if is_category else []
            found += of_field
        matrices[part] = np.stack(found, 1)
    leaves, rate = MODELS[args.model]
    settings = {
        "objective": "binary",
        "metric": "auc",
        "num_leaves": leaves,
        "learning_rate": rate,
        "lambda_l2": args.l2,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": args.seed,
        "num_threads": args.threads,
        "verbose": -1,
    }
    sets = {part: lightgbm.Dataset(matrices[part], data.labels[part], categorical_feature=categories) for part in ["train", "valid"]}
    stopping = lightgbm.early_stopping(PATIENCE, verbose=False)
    rounds = args.epochs * ROUNDS_PER_EPOCH
    model = lightgbm.train(settings, sets["train"], rounds, valid_sets=[sets["valid"]], callbacks=[stopping])
    rows.write(args.out, {part: model.predict(matrices[part], raw_score=True) for part in ["valid", "test"]})


if __name__ == "__main__":
    main()
