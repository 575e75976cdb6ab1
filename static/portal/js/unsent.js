// What somebody wrote outlives a form that was not taken: a session that had ended, a form too old, a server that
// failed, no connection. It stays in this tab, without passwords, until the next page of the portal loads.

import { say } from "./words.js";

const KEY = "freehold-unsent";
const SKIPPED = ["hidden", "password", "file", "submit", "button", "reset"];

const here = () => location.pathname + location.search;
const written = (form) => [...form.elements].filter((field) => field.name && !SKIPPED.includes(field.type));
const ticked = (field) => field.type === "checkbox" || field.type === "radio";
const action = (form) => new URL(form.getAttribute("action") ?? here(), location.href).pathname;

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function store(kept) {
  try {
    if (kept) sessionStorage.setItem(KEY, JSON.stringify(kept));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without storage it is lost, as it would be without this file.
  }
}

export function keep(form) {
  const fields = written(form).map((field) => [field.name, ticked(field) && field.value, ticked(field) ? field.checked : field.value]);
  if (fields.length) store({ page: here(), action: action(form), fields });
}

// The form was stopped on its way: what was kept of it is shown on its page again.
export function stopped() {
  const kept = stored();
  if (kept) store({ ...kept, stopped: true });
}

function fill(form, fields) {
  for (const [name, value, state] of fields) {
    const field = written(form).find((one) => one.name === name && (!ticked(one) || one.value === value));
    if (!field) continue;
    if (ticked(field)) field.checked = state;
    else field.value = state;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function restore(kept) {
  const form = [...document.querySelectorAll("#main form")].find(
    (one) => one.method === "post" && action(one) === kept.action && written(one).length,
  );
  if (!form) return;
  fill(form, kept.fields);
  for (let box = form.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  const note = document.createElement("p");
  note.className = "unsent";
  note.setAttribute("role", "status");
  form.prepend(note);
  note.textContent = say("What you wrote is back. It was not sent.");
  note.scrollIntoView({ block: "nearest" });
}

// Signing in, and pages that say what went wrong, lie on the way back.
if (document.querySelector(".door")) stopped();
else {
  const kept = stored();
  store(null);
  const back = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  if (kept && kept.page === here() && (kept.stopped || back)) restore(kept);
}
