// Lets the routes that change nothing be tried. The page is whole without it.
"use strict";

function address(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.elements) {
    if (!field.name) continue;
    const hole = "{" + field.name + "}";
    if (path.includes(hole)) path = path.replace(hole, encodeURIComponent(field.value));
    else if (field.value !== "") query.set(field.name, field.value);
  }
  const asked = query.toString();
  return asked ? path + "?" + asked : path;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function ask(form) {
  const [said, shown] = [form.querySelector(".said"), form.parentElement.querySelector(".answer")];
  const where = address(form);
  said.textContent = "GET " + where + " …";
  shown.hidden = false;
  shown.textContent = "";
  const began = performance.now();
  try {
    const answer = await fetch(where, { headers: { accept: "application/json" } });
    const body = await answer.text();
    const took = Math.round(performance.now() - began);
    said.textContent = "GET " + where + ": " + answer.status + ", " + took + " ms";
    shown.textContent = pretty(body);
  } catch (error) {
    said.textContent = "GET " + where + ": the node does not answer. Is it still up?";
  }
}

for (const form of document.querySelectorAll("form[data-path]")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}
