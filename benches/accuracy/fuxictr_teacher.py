"""A model of FuxiCTR as the teacher of a student of ours: what the driver writes, and train.npz, its logits of the training rows by
`xsfm.write_logits`, which `xsfm-train distill --teacher-logits` reads."""

import xsfm

import fuxictr_driver as driver
import rows


def main():
    args = rows.arguments(driver.MODELS)
    data = rows.read(args.data)
    model = driver.trained(args, data)
    xsfm.write_logits(args.out / "train.npz", driver.logits(model, data, "train"))
    rows.write(args.out, {part: driver.logits(model, data, part) for part in ["valid", "test"]})


if __name__ == "__main__":
    main()
