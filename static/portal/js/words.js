// What scripts say, in the language of the page: it brings the words along (controlplane/portal/scripts.py), unless
// they are the English ones that stand here.

const words = JSON.parse(document.documentElement.dataset.words ?? "{}");

export function say(text, values = {}) {
  return (words[text] ?? text).replace(/%\((\w+)\)s/g, (_, name) => values[name]);
}
