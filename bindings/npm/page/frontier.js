// Accuracy against bytes: the best models of each size, and how large the loaded file is.

import { by, grouped } from "./elements.js";

const [WIDTH, HEIGHT] = [480, 300];
const MARGIN = { left: 52, right: 24, top: 12, bottom: 40 };

function shape(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Draws models, the smallest first, and a line at the size of the loaded file. */
export function show(models, ownBytes) {
  const sizes = models.map(({ bytes }) => Math.log10(bytes)).concat(Math.log10(ownBytes));
  const [low, high] = [Math.floor(Math.min(...sizes)), Math.ceil(Math.max(...sizes))];
  const scores = models.map(({ valid_auc }) => valid_auc);
  const [worst, top] = [Math.floor(100 * Math.min(...scores)) / 100, Math.ceil(100 * Math.max(...scores)) / 100];
  const across = (bytes) => MARGIN.left + ((Math.log10(bytes) - low) / (high - low)) * (WIDTH - MARGIN.left - MARGIN.right);
  const up = (auc) => HEIGHT - MARGIN.bottom - ((auc - worst) / (top - worst)) * (HEIGHT - MARGIN.top - MARGIN.bottom);

  const title = `Validation AUC of ${models.length} models against bytes without vocabulary; this file has ${grouped(ownBytes)}`;
  const plot = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  const label = { fill: "currentColor", "font-size": 12 };
  for (let power = low; power <= high; power++) {
    const [x, bytes] = [across(10 ** power), 10 ** power];
    const name = bytes < 1e3 ? bytes : bytes < 1e6 ? `${bytes / 1e3} kB` : `${bytes / 1e6} MB`;
    plot.append(shape("line", { x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, stroke: "var(--line)" }));
    plot.append(shape("text", { ...label, x, y: HEIGHT - MARGIN.bottom + 16, "text-anchor": "middle" }, name));
  }
  for (let auc = worst; auc < top + 1e-9; auc += 0.01) {
    const y = up(auc);
    plot.append(shape("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y, y2: y, stroke: "var(--line)" }));
    plot.append(shape("text", { ...label, x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, auc.toFixed(2)));
  }
  plot.append(shape("text", { ...label, x: MARGIN.left, y: HEIGHT - 4 }, "bytes without vocabulary; up: validation AUC"));
  const points = models.map(({ bytes, valid_auc }) => `${across(bytes)},${up(valid_auc)}`).join(" ");
  plot.append(shape("polyline", { points, fill: "none", stroke: "var(--more)", "stroke-width": 2 }));
  for (const { settings, bytes, valid_auc } of models) {
    const dot = shape("circle", { cx: across(bytes), cy: up(valid_auc), r: 4, fill: "var(--more)" });
    dot.append(shape("title", {}, `${settings}: ${grouped(bytes)} bytes, AUC ${valid_auc.toFixed(4)}`));
    plot.append(dot);
  }
  const x = across(ownBytes);
  plot.append(shape("line", { x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, stroke: "var(--less)", "stroke-width": 2 }));
  plot.append(shape("text", { ...label, fill: "var(--less)", x: x + 5, y: HEIGHT - MARGIN.bottom - 6 }, "this file"));
  by("plot").replaceChildren(plot);
  by("frontier").hidden = false;
}
