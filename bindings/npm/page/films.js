// Films ranked for a user that one edits.

import { by, cell, grouped, make, number, tell } from "./elements.js";
import * as shares from "./shares.js";

const SHOWN = 10;
/** Milliseconds over which a ranking is timed: clocks of browsers are coarse. */
const TIMED = 20;
/** Milliseconds after which films are ranked once more: until then the engine has compiled better what is called often. */
const WARM = 500;

/** Shows the best films for the user of the form, and again whenever that is edited. */
export function show(model, { people, films, titles }) {
  const form = by("user");
  const { user, age, gender, occupation } = form.elements;
  const of = (key) => [...new Set(people.map((person) => person[key]))].sort();
  gender.replaceChildren(...of("gender").map((value) => new Option(value)));
  occupation.replaceChildren(...of("occupation").map((value) => new Option(value)));
  by("users").replaceChildren(...people.map((person) => new Option("", person.user)));
  by("wanted").textContent = `The best films, by the probability that the ${model.info.label}`;
  const candidates = model.encode(films);
  let chosen = null;

  const rank = () => {
    const context = { user: user.value, age: age.value, gender: gender.value, occupation: occupation.value };
    let [ranked, count, start] = [null, 0, performance.now()];
    do {
      ranked = model.rank(context, candidates, SHOWN);
      count += 1;
    } while (performance.now() - start < TIMED);
    const each = (1e3 * (performance.now() - start)) / count / films.length;
    tell(by("speed"), `${grouped(films.length)} films ranked in ${((each * films.length) / 1e3).toFixed(2)} ms: ${each.toFixed(2)} µs each`);
    by("ranked").replaceChildren(...ranked.map((film, place) => line(film, place, context)));
    const shown = ranked.find(({ candidate }) => candidate === chosen) ?? ranked[0];
    explain(shown.candidate, context);
  };

  const line = ({ candidate, logit, probability }, place, context) => {
    const button = make("button", { type: "button", "data-candidate": candidate }, titles[candidate]);
    button.onclick = () => explain(candidate, context);
    const year = films[candidate].release_year;
    const line = make("tr", {}, number(place + 1), cell(button, ` ${year ?? ""}`), number(probability.toFixed(3)));
    Object.assign(line.dataset, { candidate, logit, probability });
    return line;
  };

  const explain = (candidate, context) => {
    chosen = candidate;
    for (const button of by("ranked").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.candidate) === candidate));
    }
    shares.show(titles[candidate], model.explain({ ...context, ...films[candidate] }));
  };

  // A user of the data has an age and an occupation.
  user.oninput = () => {
    const person = people.find((person) => person.user === user.value.trim());
    if (person) [age.value, gender.value, occupation.value] = [person.age, person.gender, person.occupation];
  };
  form.oninput = rank;
  form.onsubmit = (event) => event.preventDefault();
  user.value = people[0].user;
  user.oninput();
  by("films").hidden = false;
  rank();
  setTimeout(rank, WARM);
}
