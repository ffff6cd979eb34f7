// The page: its own model, or one that is opened or dropped.

import { Model } from "./xsdeepfwfm/index.js";

import { by, tell } from "./elements.js";
import * as films from "./films.js";
import * as frontier from "./frontier.js";
import * as inside from "./inside.js";

const here = (name) => new URL(name, import.meta.url);
const demo = fetch(here("demo.json")).then((answer) => answer.json());
let shown = null;

/** Shows a model: with the films that it is for, or with a form for any row. */
async function show(name, source, isOurs) {
  // Whoever comes last is shown, though another may take longer to load.
  const asked = (shown = Symbol(name));
  try {
    const [model, data] = await Promise.all([Model.load(source), demo]);
    if (shown !== asked) return;
    tell(by("error"), null);
    for (const section of document.querySelectorAll("main > section")) section.hidden = true;
    inside.show(name, model);
    if (isOurs) films.show(model, data);
    else inside.form(model);
    frontier.show(data.frontier, inside.bytesWithoutVocabulary(model.info));
    by("back").hidden = isOurs;
  } catch (error) {
    if (shown === asked) tell(by("error"), `${name}: ${error.message}`);
  }
}

const ours = () => show("model.xsfm", here("model.xsfm"), true);
const open = (files) => files[0] && show(files[0].name, files[0], false);

by("file").onchange = ({ target }) => {
  open(target.files);
  // The same file may be opened again.
  target.value = "";
};
by("back").onclick = ours;

const isFile = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!isFile(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!isFile(event)) return;
  event.preventDefault();
  open(event.dataTransfer.files);
});

ours();
