// The same words for times as the server uses (controlplane/portal/figures.py).

import { say } from "./words.js";

export function elapsed(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1).replace(".", say("."))} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// Empty for what is over a month away: then the server's date stands.
export function relative(moment, now) {
  const ahead = moment > now;
  const seconds = Math.abs(now - moment) / 1000;
  if (seconds < 45) return ahead ? say("in a moment") : say("just now");
  for (const [limit, size, unit] of [[3600, 60, "min"], [86400, 3600, "h"], [86400 * 31, 86400, "day"]]) {
    if (seconds >= limit) continue;
    const number = Math.max(1, Math.round(seconds / size));
    const time = `${number} ${unit === "day" ? say(number === 1 ? "day" : "days") : unit}`;
    return ahead ? say("in %(time)s", { time }) : say("%(time)s ago", { time });
  }
  return "";
}
