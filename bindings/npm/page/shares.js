// What each field and each pair of fields adds to a logit.

import { bar, by, number, row, tell } from "./elements.js";

const SHOWN = 12;
const signed = new Intl.NumberFormat("en", { signDisplay: "exceptZero", minimumFractionDigits: 4, maximumFractionDigits: 4 });

/** Shows an explanation under a heading. */
export function show(title, { logit, probability, bias, layers, fields, pairs }) {
  const parts = [
    ...fields.map(({ field, share }) => ({ name: field, share })),
    ...pairs.map(({ fields, share }) => ({ name: fields.join(" × "), share })),
  ];
  parts.sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
  const [shown, others] = [parts.slice(0, SHOWN), parts.slice(SHOWN)];
  if (others.length > 0) {
    shown.push({ name: `${others.length} others`, share: others.reduce((sum, { share }) => sum + share, 0) });
  }
  const largest = Math.max(...shown.map(({ share }) => Math.abs(share))) || 1;
  by("shares").replaceChildren(
    ...shown.map(({ name, share }) => row(name, number(signed.format(share)), bar(Math.abs(share) / largest, share < 0))),
  );
  by("why-title").textContent = `Why: ${title}`;
  const score = by("score");
  const rest = [["bias", bias], ["layers", layers]].map(([name, share]) => `${name} ${signed.format(share)}`);
  tell(score, `P(click) ${probability.toFixed(4)}, logit ${signed.format(logit)}: ${rest.join(", ")}, and what is below`);
  Object.assign(score.dataset, { logit, probability, bias, layers });
  by("why").hidden = false;
}
