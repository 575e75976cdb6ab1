// The live page of an operation.
//
// The event stream is the bell; what it announces is fetched as the server renders it, so that there is one
// rendering. Lines carry the ids of their events and are inserted once; the cursor survives a reconnect. The
// stream is closed while the tab is hidden, since browsers allow few connections to one host. When it cannot be
// kept open, the page polls.

import { say } from "./words.js";

const page = document.getElementById("operation");
const POLL_MS = 2000;
const GATHER_MS = 150;
const QUIET_MS = 40000; // heartbeats come every 15 s, but browsers do not show them: look after a silence
const LOOK_MS = 15000; // an answer that takes longer will not come
const RETRY_MS = 2000;

let cursor = Number(page.dataset.cursor);
let open = page.dataset.open !== undefined;
let source = null;
let failures = 0;
let gathering = 0;
let fetching = false;
let again = false;
let polling = 0;
let quiet = 0;
let retry = 0;

const mark = (state, text) => {
  for (const place of page.querySelectorAll("[data-live-state]")) {
    place.dataset.state = state;
    place.textContent = text;
  }
};
const LIVE = ["live", say("live")];
let said = ["", say("not live")];
const status = (...words) => {
  said = words;
  mark(...words);
};

function replaceRegion(region, fresh) {
  const version = fresh.dataset.version;
  const same = version === undefined ? region.dataset.was === fresh.innerHTML : version === region.dataset.version;
  if (same) return;
  const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
  region.dataset.was = fresh.innerHTML;
  if (version !== undefined) region.dataset.version = version;
  region.replaceChildren(...fresh.childNodes);
  for (const span of region.querySelectorAll("[data-running]")) span.dataset.live = "";
  if (focused) document.getElementById(focused)?.focus();
}

function insertLines(fragment) {
  const log = document.getElementById("op-log");
  const view = log.parentElement;
  const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
  for (const line of fragment.querySelectorAll("#op-log > li")) {
    if (!document.getElementById(line.id)) log.append(line);
  }
  if (atEnd) view.scrollTop = view.scrollHeight;
}

async function look() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const answer = await fetch(`${page.dataset.live}?cursor=${cursor}`, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(LOOK_MS),
    });
    if (answer.redirected || answer.status === 404) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("fragment");
    for (const fresh of fragment.querySelectorAll("[data-region]")) {
      const region = page.querySelector(`[data-region="${fresh.dataset.region}"]`);
      if (region) replaceRegion(region, fresh);
    }
    insertLines(fragment);
    cursor = Math.max(cursor, Number(fragment.dataset.cursor));
    document.title = fragment.dataset.title;
    const announce = document.getElementById("announce");
    if (announce.textContent !== fragment.dataset.announce) announce.textContent = fragment.dataset.announce;
    open = fragment.dataset.open !== undefined;
    if (source?.readyState === EventSource.OPEN) said = LIVE;
    mark(...said);
    if (!open) stop();
    else if (!polling) listen();
  } catch {
    mark("reconnecting", say("reconnecting"));
    lookLater();
  } finally {
    fetching = false;
    if (again) {
      again = false;
      look();
    }
  }
}

// The stream may have said its last word: then nothing else would bring what a failed look was to fetch.
function lookLater() {
  clearTimeout(retry);
  if (!polling && !document.hidden) retry = setTimeout(look, RETRY_MS);
}

async function lookAfterSilence() {
  const known = cursor;
  await look();
  if (!open || document.hidden) return;
  // There was news, and the stream did not bring it: the connection is open at this end only.
  if (cursor > known) {
    hangUp();
    listen();
  }
  clearTimeout(quiet);
  quiet = setTimeout(lookAfterSilence, QUIET_MS);
}

// Events come in bursts: gather them into one look.
function ring() {
  clearTimeout(gathering);
  gathering = setTimeout(look, GATHER_MS);
  clearTimeout(quiet);
  quiet = setTimeout(lookAfterSilence, QUIET_MS);
}

function listen() {
  if (source || !open || document.hidden) return;
  source = new EventSource(`${page.dataset.stream}?cursor=${cursor}`);
  source.addEventListener("open", () => {
    failures = 0;
    clearInterval(polling);
    polling = 0;
    status(...LIVE);
    ring();
  });
  for (const type of ["state", "step", "resource", "diagnostic", "summary", "cancel", "message"]) {
    source.addEventListener(type, ring);
  }
  source.addEventListener("close", () => {
    hangUp();
    look();
  });
  source.addEventListener("error", () => {
    failures += 1;
    status("reconnecting", say("reconnecting"));
    if (failures < 3 && source?.readyState !== EventSource.CLOSED) return;
    hangUp();
    status("polling", say("polling every 2 s"));
    polling ||= setInterval(look, POLL_MS);
    setTimeout(listen, 15000);
  });
}

function hangUp() {
  source?.close();
  source = null;
}

function stop() {
  hangUp();
  clearInterval(polling);
  clearTimeout(gathering);
  clearTimeout(quiet);
  clearTimeout(retry);
}

document.addEventListener("visibilitychange", () => {
  if (!open) return;
  if (document.hidden) {
    stop();
    polling = 0;
  } else {
    look();
    listen();
  }
});
addEventListener("pagehide", hangUp);

const view = document.getElementById("op-log").parentElement;
view.scrollTop = view.scrollHeight;
listen();
