// The playground as it goes on.
//
// A message is sent with fetch, and the run's events come over one stream of the portal's own. When the run is over
// the page is fetched as the server renders it, so that what stays has one rendering. Without this file the same
// forms work: the page after them waits for the run.

import { keep, stopped } from "./unsent.js";
import { say } from "./words.js";

const RETRY_MS = 2000;
const STREAM_EVENTS = ["attempt", "step", "text", "failed", "over", "gone"];
let source = null;
let texts = new Map();
let shown = new Set(); // messages that the server's rendering has already

const byId = (id) => document.getElementById(id);
const play = () => byId("playground");

function bubble(role, who, text) {
  const item = document.createElement("li");
  item.className = role;
  const name = document.createElement("span");
  name.className = "who-said";
  name.textContent = who;
  const said = document.createElement("div");
  said.className = "said";
  said.textContent = text;
  item.append(name, said);
  const talk = byId("talk");
  talk.append(item);
  talk.scrollTop = talk.scrollHeight;
  return item;
}

function busy(yes) {
  for (const part of byId("say").querySelectorAll("textarea, button")) part.disabled = yes;
  byId("say").setAttribute("aria-busy", String(yes));
}

function note(text) {
  byId("walk-box").hidden = false;
  byId("walk-note").textContent = text;
}

function complain(text) {
  const place = byId("say-error");
  place.textContent = text;
  place.hidden = text === "";
}

const handle = {
  attempt: ({ attempt }) => {
    if (attempt > 1) note(say("Attempt %(number)s: another worker goes on with the run.", { number: attempt }));
  },
  step: ({ id, name, state }) => {
    const walk = byId("walk");
    const key = `step-${id}`;
    let tag = byId(key);
    if (!tag) {
      tag = document.createElement("span");
      tag.id = key;
      tag.className = "tag mono";
      walk.append(tag);
    }
    tag.dataset.state = state;
    tag.textContent = state === "done" || state === "begun" ? name : `${name} ${say(state)}`;
    note(state === "begun" ? say("Step %(name)s", { name }) : "");
  },
  text: ({ id, text }) => {
    if (shown.has(id)) return;
    let item = texts.get(id);
    if (!item) {
      item = [...byId("talk").querySelectorAll(".waiting")].pop();
      item ??= bubble("ai", byId("say").elements.agent.value, "");
      item.classList.remove("waiting");
      texts.set(id, item);
    }
    item.querySelector(".said").textContent += text;
    byId("talk").scrollTop = byId("talk").scrollHeight;
  },
  failed: ({ code }) => note(say("Failed: %(code)s", { code })),
  over: () => finish(),
  gone: ({ title, detail }) => {
    hangUp();
    complain(`${title}. ${detail}`);
    busy(false);
  },
};

function hangUp() {
  source?.close();
  source = null;
}

function follow(url) {
  hangUp();
  texts = new Map();
  shown = new Set([...byId("talk").querySelectorAll("[data-message]")].map((item) => item.dataset.message));
  busy(true);
  byId("going")?.remove();
  note(say("Waiting for a worker"));
  source = new EventSource(url);
  for (const name of STREAM_EVENTS) {
    source.addEventListener(name, (event) => handle[name](JSON.parse(event.data)));
  }
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) finish();
    else note(say("The connection was lost; it is tried again."));
  });
}

// The server's rendering takes the place of what the stream has drawn.
async function finish() {
  hangUp();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer === null || answer.status >= 500) {
    // Loading the page anew from a server that is away would lose it.
    note(say("The connection was lost; it is tried again."));
    setTimeout(finish, RETRY_MS);
    return;
  }
  try {
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("playground");
    if (!fresh) throw new Error("no playground");
    const again = fresh.dataset.stream;
    play().replaceChildren(...fresh.childNodes);
    begin();
    byId("talk").scrollTop = byId("talk").scrollHeight;
    if (again) follow(again);
    else byId("text").focus();
  } catch {
    location.reload();
  }
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const body = new FormData(form);
  const text = body.get("text").trim();
  if (text === "" || form.getAttribute("aria-busy") === "true") return;
  complain("");
  busy(true);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.redirected) {
      form.elements.text.disabled = false;
      keep(form);
      stopped();
      return location.reload();
    }
    const told = await answer.json();
    if (!answer.ok) throw new Error(`${told.detail ?? answer.status} ${told.hint ?? ""}`);
    history.replaceState(null, "", told.place);
    form.elements.thread.value = told.thread;
    form.elements.text.value = "";
    byId("first")?.remove();
    bubble("human", say("You"), text);
    bubble("ai", form.elements.agent.value, "").classList.add("waiting");
    const stop = byId("stop");
    stop.elements.thread.value = told.thread;
    stop.elements.run.value = told.run;
    stop.hidden = false;
    byId("walk").replaceChildren();
    follow(told.stream);
  } catch (error) {
    complain(error.message);
    busy(false);
    form.elements.text.focus();
  }
}

function begin() {
  byId("say").addEventListener("submit", send);
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      byId("say").requestSubmit();
    }
  });
}

addEventListener("pagehide", hangUp);
if (play()) {
  begin();
  byId("talk").scrollTop = byId("talk").scrollHeight;
  if (play().dataset.stream) follow(play().dataset.stream);
}
