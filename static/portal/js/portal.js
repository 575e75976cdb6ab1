// Small conveniences on every page. Each page works without this file.
import { elapsed, relative } from "./figures.js";
import { keep, stopped } from "./unsent.js";

const root = document.documentElement;

function toggleTheme() {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("freehold-theme", root.dataset.theme);
  } catch {
    // The choice then lasts for this page only.
  }
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP on a host that is not localhost has no clipboard API.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "sr";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.dataset.copied = "";
  setTimeout(() => delete button.dataset.copied, 1500);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-copy], [data-theme-toggle]");
  if (!target) return;
  if (target.dataset.copy !== undefined) copy(target);
  else toggleTheme();
});

// Shown while there is no connection, and gone by itself.
const offline = document.getElementById("offline");
const connection = (there) => offline && (offline.hidden = there);
addEventListener("offline", () => connection(false));
addEventListener("online", () => connection(true));
if (!navigator.onLine) connection(false);

// A form acts once: the button is shut while its answer is on the way.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  // The browser's own page would take the place of what was written.
  if (!navigator.onLine && offline) {
    event.preventDefault();
    connection(false);
    return offline.scrollIntoView({ block: "nearest" });
  }
  if (form.method === "post" && form.closest("#main") && offline) keep(form);
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent !== undefined) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  const button = event.submitter ?? form.querySelector("button");
  if (button) {
    button.setAttribute("aria-disabled", "true");
    if (button.dataset.busy) button.lastChild.textContent = `${button.dataset.busy}…`;
  }
});
// What the browser calls its zone: from the next page on the server writes times in it.
try {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`freehold-zone=${zone}`)) {
    document.cookie = `freehold-zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }
} catch {
  // Without it times are in UTC, as the page says.
}
// The back button may bring a page from memory, with its buttons still shut.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  stopped();
  location.reload();
});

document.addEventListener("change", (event) => {
  const target = event.target;
  if (target.matches("select[data-submit]")) target.form.requestSubmit();
  if (target.matches("[data-tick-all]")) {
    for (const box of target.form.querySelectorAll("td.tick input")) box.checked = target.checked;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector('[data-hotkey="/"]');
  if (field) {
    event.preventDefault();
    field.focus();
  }
});

// A slug is suggested from the name until someone writes one.
const source = document.querySelector("[data-slug-source]");
const slug = document.querySelector("[data-slug-target]");
if (source && slug) {
  let own = slug.value !== "";
  slug.addEventListener("input", () => (own = slug.value !== ""));
  source.addEventListener("input", () => {
    if (own) return;
    slug.value = source.value
      .normalize("NFKD")
      .replace(/[\u0300-\u036f]/g, "")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^[^a-z]+/, "")
      .slice(0, 40)
      .replace(/-+$/, "");
  });
}

// Deleting asks for the slug; the server checks it again.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  const field = form.querySelector("input[name=confirm]");
  const button = form.querySelector("button");
  const check = () => (button.disabled = field.value.trim() !== form.dataset.confirm);
  field.addEventListener("input", check);
  check();
}

// What scrolls sideways on a narrow screen can be scrolled by keyboard, and is no stop where it fits.
const sideways = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
function watchSideways() {
  sideways.disconnect();
  for (const part of document.querySelectorAll(".table-scroll")) sideways.observe(part);
}
watchSideways();
document.addEventListener("htmx:afterSettle", watchSideways);

document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

const loadedAt = performance.now();
function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(time.dateTime), now);
    if (text && time.textContent !== text) time.textContent = text;
  }
  for (const span of document.querySelectorAll("[data-running]")) {
    // Counted from the server's figure, so that a wrong clock here does not matter.
    span.dataset.seen ??= String(performance.now());
    const since = span.dataset.live === undefined ? loadedAt : Number(span.dataset.seen);
    span.textContent = elapsed(Number(span.dataset.running) + (performance.now() - since) / 1000);
  }
}
setInterval(() => !document.hidden && tick(), 1000);

// A list that is swapped in place keeps its form; the count is read out by aria-live.
document.addEventListener("htmx:beforeRequest", (event) => event.detail.target.setAttribute("aria-busy", "true"));
// Signed out meanwhile: the page itself leads to the sign-in and back, a part of it would hold the sign-in.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL).pathname.startsWith("/account/")) {
    event.preventDefault();
    location.reload();
  }
});
document.addEventListener("htmx:sendError", (event) => {
  event.detail.target.removeAttribute("aria-busy");
  connection(false);
  window.htmx.trigger(event.detail.elt, "again");
});
// The whole page says what went wrong; a part of it would say nothing.
document.addEventListener("htmx:responseError", () => location.reload());
document.addEventListener("htmx:afterSwap", () => connection(navigator.onLine));
