// How a post came to its place, as tables.

import { make } from "/page/dom.js";

const figure = (value) => value.toLocaleString(undefined, { maximumSignificantDigits: 4 });

function terms(caption, rows) {
  const body = rows.map(({ name, value }) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, figure(value))));
  return make("table", {}, make("caption", {}, caption), make("tbody", {}, ...body));
}

// What an `explanation` of the API says.
export function explained({ ranker, score, first_pass, second_pass, demotions, position, position_by_score }) {
  const by = ranker === null ? "time, as the ranker has failed" : ranker;
  const moved = position === position_by_score ? "" : `, ${position_by_score} before diversity`;
  const shown = make("div", { class: "explanation" });
  shown.append(make("p", {}, `Place ${position}${moved}; score ${figure(score)}, by ${by}.`));
  if (first_pass) shown.append(terms(`First pass: ${figure(first_pass.score)}, the product of`, first_pass.terms));
  if (second_pass) shown.append(terms(`Second pass: ${figure(second_pass.score)}, the sum of`, second_pass.terms));
  if (demotions.length) shown.append(terms("Then multiplied by", demotions));
  return shown;
}

// What `why-not` answers.
export function whyNot({ detail, step, reasons, explanation }) {
  const shown = make("div", {}, make("p", {}, `${detail} (${step})`));
  if (reasons.length) shown.append(make("p", { class: "quiet" }, `Brought by ${reasons.join(", ")}.`));
  if (explanation) shown.append(explained(explanation));
  return shown;
}
