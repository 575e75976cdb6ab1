// The palette: a dialog over the same search that /search/ shows as a page, and the help for keys.

const palette = document.getElementById("palette");
const help = document.getElementById("shortcuts");
const field = palette.querySelector("input");
const list = palette.querySelector("[role=listbox]");
const said = palette.querySelector("[role=status]");
const WAIT_MS = 120;

let active = -1;
let waiting = 0;
let asked = 0;

const options = () => [...list.querySelectorAll("[role=option]")];

function mark(index) {
  const all = options();
  active = all.length ? (index + all.length) % all.length : -1;
  all.forEach((option, at) => option.setAttribute("aria-selected", String(at === active)));
  if (active < 0) return field.removeAttribute("aria-activedescendant");
  field.setAttribute("aria-activedescendant", all[active].id);
  all[active].scrollIntoView({ block: "nearest" });
}

async function ask() {
  const mine = ++asked;
  try {
    const answer = await fetch(`${palette.dataset.hits}?q=${encodeURIComponent(field.value)}`);
    // Signed out meanwhile: the page of the search leads to the sign-in and back.
    if (answer.redirected || !answer.ok) return palette.querySelector("form").submit();
    const hits = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-said]");
    if (mine !== asked) return;
    list.replaceChildren(...hits.childNodes);
    said.textContent = hits.dataset.said;
    field.setAttribute("aria-expanded", String(options().length > 0));
    mark(0);
  } catch {
    // Offline: Enter still asks for the page.
  }
}

function open() {
  if (help.open) help.close();
  if (palette.open) return field.select();
  field.value = "";
  palette.showModal();
  field.focus();
  ask();
}

field.addEventListener("input", () => {
  // What was found before is not what Enter should open now.
  asked += 1;
  active = -1;
  field.removeAttribute("aria-activedescendant");
  for (const option of options()) option.setAttribute("aria-selected", "false");
  clearTimeout(waiting);
  waiting = setTimeout(ask, WAIT_MS);
});

field.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    mark(active + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter" && active >= 0) {
    event.preventDefault();
    options()[active].click();
  }
});

document.addEventListener("keydown", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    open();
  } else if (event.key === "?" && plain && !palette.open && !event.target.closest("input, textarea, select, [contenteditable]")) {
    event.preventDefault();
    if (!help.open) help.showModal();
  }
});

document.addEventListener("click", (event) => {
  if (event.target === palette || event.target === help) return event.target.close();
  const opener = event.target.closest("[data-palette], [data-shortcuts]");
  if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (opener.dataset.palette !== undefined) open();
  else help.showModal();
});
